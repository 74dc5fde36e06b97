//! A self-contained page: its styles, scripts and data are inside, and it asks the network for nothing.

pub(crate) mod chart;

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;
use serde_json::{Value, json};

use chart::Chart;

/// What a page may do: run what it holds, and listen to the server that it came from.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
     img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'";

const STYLE: &str = concat!(
    include_str!("page/base.css"),
    include_str!("page/parts.css")
);
const SCRIPT: &str = concat!(
    "\"use strict\";\n",
    include_str!("page/scale.js"),
    include_str!("page/chart.js"),
    include_str!("page/page.js"),
);

/// A document in parts.
pub(crate) struct Page {
    pub(crate) title: String,
    pub(crate) body: Markup,
    pub(crate) charts: Vec<Chart>,
    /// Place in the log that the page shows, where a server sends what comes after it.
    pub(crate) cursor: Option<String>,
}

impl Page {
    pub(crate) fn render(&self) -> String {
        let data = json!({ "charts": self.charts, "cursor": self.cursor });
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="referrer" content="no-referrer";
                    meta name="robots" content="noindex";
                    title { (self.title) }
                    link rel="icon" href="data:,";
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    main id="page" { (self.body) }
                    script type="application/json" id="page-data" { (embedded(&data)) }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        };
        page.into_string()
    }
}

/// JSON that no parser of HTML or JavaScript takes for anything else.
fn embedded(data: &Value) -> PreEscaped<String> {
    let mut text = String::new();
    for character in data.to_string().chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", character as u32));
            }
            character => text.push(character),
        }
    }
    PreEscaped(text)
}

/// A place for a chart, which the script draws.
pub(crate) fn figure(chart: &Chart) -> Markup {
    html! {
        figure.chart data-chart=(chart.id) {
            figcaption {
                h3 { (chart.title) }
                @if let Some(note) = &chart.note { p.note { (note) } }
            }
        }
    }
}

/// A table in a frame that scrolls sideways where the screen is narrow.
pub(crate) fn scrollable(label: &str, table: &Markup) -> Markup {
    html! { div.scroll role="region" tabindex="0" aria-label=(label) { (table) } }
}

/// A name from outside, kept from turning the text around it.
pub(crate) fn name(text: &str) -> Markup {
    html! { bdi { (text) } }
}

/// Serializes a float with six digits, which is more than a screen shows.
pub(crate) fn short<S: serde::Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    let rounded = format!("{value:.6e}").parse().unwrap_or(value);
    f64::serialize(&rounded, serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_data_cannot_leave_its_element() {
        let hostile = "</script><script>alert(1)</script><!--\u{2028}\u{2029}&";
        let text = embedded(&json!({ hostile: hostile })).0;
        assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']));
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back[hostile], hostile);
    }

    #[test]
    fn a_page_names_no_other_host() {
        let page = Page {
            title: "t".into(),
            body: html! {},
            charts: Vec::new(),
            cursor: None,
        };
        let text = page.render().replace("http://www.w3.org/2000/svg", "");
        for needle in ["http:", "https:", "//cdn", "@import", "url(", "innerHTML"] {
            assert!(!text.contains(needle), "{needle}");
        }
    }
}
