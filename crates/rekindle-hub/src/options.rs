//! Where models are looked for and fetched from, read from the environment as `huggingface_hub` reads it.

mod transfer;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

pub use transfer::{ProxyOptions, TransferOptions};

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// Where models are looked for, and how the Hub is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct HubOptions {
    /// The cache: the folder that holds `models--org--name` folders.
    pub cache: PathBuf,
    /// Base address of the Hub, without a slash at its end.
    pub endpoint: String,
    /// True: the cache alone is used, and no connection is opened.
    pub offline: bool,
    /// Access token for private and gated models; none is sent without it.
    pub token: Option<String>,
    /// Timeouts, proxies, certificates, and how files are stored.
    pub transfer: TransferOptions,
}

impl HubOptions {
    /// Reads `HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE`, `HF_TOKEN`, `HF_ENDPOINT` and the stored token, and the
    /// variables of [`TransferOptions`].
    ///
    /// Names, precedence and defaults are those of `huggingface_hub` (its `constants.py` and `utils/_auth.py`),
    /// so that both tools share one cache and one login.
    pub fn from_env() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok(), std::env::home_dir())
    }

    fn from_lookup(lookup: impl Fn(&str) -> Option<String>, home: Option<PathBuf>) -> Self {
        let variable = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let flag = |name: &str| variable(name).is_some_and(|value| is_true(&value));
        let path = |name: &str| {
            let value = expand_home(variable(name)?, home.as_deref());
            Some(PathBuf::from(expand_variables(&value, &lookup)))
        };

        let hf_home = path("HF_HOME").unwrap_or_else(|| {
            path("XDG_CACHE_HOME")
                .unwrap_or_else(|| home.clone().unwrap_or_default().join(".cache"))
                .join("huggingface")
        });
        let token = || {
            variable("HF_TOKEN")
                .or_else(|| variable("HUGGING_FACE_HUB_TOKEN"))
                .or_else(|| {
                    let file = path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token"));
                    fs::read_to_string(file).ok()
                })
                .map(|token| token.replace(['\r', '\n'], "").trim().to_owned())
                .filter(|token| !token.is_empty())
        };
        Self {
            cache: path("HF_HUB_CACHE")
                .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
                .unwrap_or_else(|| hf_home.join("hub")),
            endpoint: variable("HF_ENDPOINT").map_or_else(
                || DEFAULT_ENDPOINT.to_owned(),
                |endpoint| endpoint.trim_end_matches('/').to_owned(),
            ),
            offline: variable("HF_HUB_OFFLINE")
                .or_else(|| variable("TRANSFORMERS_OFFLINE"))
                .is_some_and(|value| is_true(&value)),
            token: if flag("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
                None
            } else {
                token()
            },
            transfer: TransferOptions::from_lookup(variable),
        }
    }
}

/// The token stays out of logs.
impl fmt::Debug for HubOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HubOptions")
            .field("cache", &self.cache)
            .field("endpoint", &self.endpoint)
            .field("offline", &self.offline)
            .field("has_token", &self.token.is_some())
            .field("transfer", &self.transfer)
            .finish()
    }
}

fn is_true(value: &str) -> bool {
    matches!(
        value.to_ascii_uppercase().as_str(),
        "1" | "ON" | "YES" | "TRUE"
    )
}

/// Writes a leading `~` out, as `os.path.expanduser` does.
fn expand_home(value: String, home: Option<&Path>) -> String {
    let home = home.and_then(Path::to_str);
    match (value.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            format!("{home}{rest}")
        }
        _ => value,
    }
}

/// Writes `$NAME` and `${NAME}` out, as `os.path.expandvars` does: unknown variables stay as they are.
fn expand_variables(value: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = value;
    while let Some(start) = rest.find('$') {
        expanded.push_str(&rest[..start]);
        rest = &rest[start..];
        let braced = rest[1..]
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'));
        let (name, length) = if let Some((name, _)) = braced {
            (name, name.len() + 3)
        } else {
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = rest[1..].find(|c| !is_word(c));
            let end = end.map_or(rest.len(), |end| end + 1);
            (&rest[1..end], end)
        };
        match lookup(name).filter(|_| !name.is_empty()) {
            Some(found) => expanded.push_str(&found),
            None => expanded.push_str(&rest[..length]),
        }
        rest = &rest[length..];
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(variables: &[(&str, &str)]) -> HubOptions {
        let lookup = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        };
        HubOptions::from_lookup(lookup, Some(PathBuf::from("/home/ada")))
    }

    fn cache(variables: &[(&str, &str)]) -> PathBuf {
        options(variables).cache
    }

    #[test]
    fn an_empty_environment_gives_the_defaults_of_huggingface_hub() {
        let expected = HubOptions {
            cache: PathBuf::from("/home/ada/.cache/huggingface/hub"),
            endpoint: "https://huggingface.co".to_owned(),
            offline: false,
            token: None,
            transfer: TransferOptions::default(),
        };
        assert_eq!(options(&[]), expected);
        assert_eq!(
            options(&[("HF_HOME", ""), ("HF_TOKEN", ""), ("HF_HUB_OFFLINE", "")]),
            expected
        );
    }

    #[test]
    fn the_cache_follows_the_precedence_of_huggingface_hub() {
        let xdg = ("XDG_CACHE_HOME", "/xdg");
        let home = ("HF_HOME", "/hf");
        let legacy = ("HUGGINGFACE_HUB_CACHE", "/legacy");
        let own = ("HF_HUB_CACHE", "~/own");
        assert_eq!(cache(&[xdg]), Path::new("/xdg/huggingface/hub"));
        assert_eq!(cache(&[xdg, home]), Path::new("/hf/hub"));
        assert_eq!(cache(&[xdg, home, legacy]), Path::new("/legacy"));
        assert_eq!(cache(&[xdg, home, legacy, own]), Path::new("/home/ada/own"));
    }

    #[test]
    fn paths_are_expanded_as_python_expands_them() {
        let expand =
            |value: &str| cache(&[("HF_HUB_CACHE", value), ("DISK", "/disk"), ("_a1", "x")]);
        for (value, expected) in [
            ("$DISK/hub", "/disk/hub"),
            ("${DISK}s/$_a1.y", "/disks/x.y"),
            ("~", "/home/ada"),
            ("~bob/hub", "~bob/hub"),
            ("$NOWHERE/${NOWHERE}/$", "$NOWHERE/${NOWHERE}/$"),
            ("/a/${DISK", "/a/${DISK"),
        ] {
            assert_eq!(expand(value), Path::new(expected));
        }
        let home = [("HF_HOME", "~/$DISK"), ("DISK", "d")];
        assert_eq!(cache(&home), Path::new("/home/ada/d/hub"));
    }

    #[test]
    fn offline_takes_the_four_words_for_true() {
        for value in ["1", "on", "Yes", "TRUE"] {
            assert!(options(&[("HF_HUB_OFFLINE", value)]).offline, "{value}");
        }
        assert!(!options(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]).offline);
        assert!(options(&[("TRANSFORMERS_OFFLINE", "1")]).offline);
    }

    #[test]
    fn a_token_in_the_environment_beats_the_stored_one() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("token"), "stored\n").unwrap();
        let hf_home = ("HF_HOME", home.path().to_str().unwrap());
        let token = |variables: &[(&str, &str)]| options(variables).token;
        assert_eq!(token(&[hf_home]).as_deref(), Some("stored"));
        assert_eq!(
            token(&[hf_home, ("HF_TOKEN", " given ")]).as_deref(),
            Some("given")
        );
        assert_eq!(token(&[hf_home, ("HF_TOKEN_PATH", "/nowhere")]), None);
        assert_eq!(
            token(&[hf_home, ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]),
            None
        );
    }

    #[test]
    fn the_endpoint_loses_its_last_slash() {
        assert_eq!(
            options(&[("HF_ENDPOINT", "http://mirror/")]).endpoint,
            "http://mirror"
        );
    }

    #[test]
    fn debug_output_hides_the_token() {
        let shown = format!("{:?}", options(&[("HF_TOKEN", "hf_secret")]));
        assert!(
            shown.contains("has_token: true") && !shown.contains("hf_secret"),
            "{shown}"
        );
    }
}
