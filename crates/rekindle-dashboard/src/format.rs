//! Numbers and times as people read them.

use jiff::Timestamp;

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A loss or a metric, or a dash.
pub(crate) fn number(value: Option<f64>) -> String {
    match value {
        None => "–".to_owned(),
        Some(value) if value != 0.0 && (value.abs() < 1e-3 || value.abs() >= 1e5) => {
            format!("{value:.3e}")
        }
        Some(value) => format!("{value:.4}"),
    }
}

/// Seconds as `1 h 02 min`, `2 min 03 s` or `4.5 s`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds:02} s"),
        _ => format!("{hours} h {minutes:02} min"),
    }
}

/// Seconds as `1:02:03` or `2:03`.
pub(crate) fn clock(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// Bytes in units of a thousand.
pub(crate) fn bytes(count: f64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && value < 100.0);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A moment to the minute, in universal time.
pub(crate) fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// `macro_f1` as `macro F1`.
pub(crate) fn metric(name: &str) -> String {
    match name {
        "mcc" | "mse" | "mae" => name.to_uppercase(),
        "loss" => "validation loss".to_owned(),
        "f1" => "F1".to_owned(),
        _ => name.replace("_f1", " F1").replace('_', " "),
    }
}

/// The text with a capital at its beginning.
pub(crate) fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_readable() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(number(Some(0.5)), "0.5000");
        assert_eq!(number(Some(0.000_05)), "5.000e-5");
        assert_eq!(number(None), "–");
        assert_eq!(duration(4.52), "4.5 s");
        assert_eq!(duration(123.0), "2 min 03 s");
        assert_eq!(duration(3_725.0), "1 h 02 min");
        assert_eq!(clock(123.0), "2:03");
        assert_eq!(clock(3_723.4), "1:02:03");
        assert_eq!(bytes(512.0), "512 B");
        assert_eq!(bytes(394_665_984.0), "395 MB");
        assert_eq!(bytes(1.5e9), "1.5 GB");
        assert_eq!(metric("macro_f1"), "macro F1");
        assert_eq!(capitalized("über"), "Über");
    }
}
