//! Names of files in a checkpoint, and of folders in a store.

/// The file that makes a folder a checkpoint.
pub(crate) const MANIFEST: &str = "manifest.json";

/// True for a name that stays in its folder and means the same on every system.
pub(crate) fn is_plain(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// Where a folder of a step stands, in the order in which they are trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// `step-000120`: the checkpoint.
    Final,
    /// `.step-000120.replaced`: the one before it, until the new one is safe.
    Replaced,
    /// `.step-000120.partial`: half-written or half-removed.
    Partial,
}

impl Place {
    pub(crate) fn name(self, step: usize) -> String {
        match self {
            Self::Final => format!("step-{step:06}"),
            Self::Replaced => format!(".step-{step:06}.replaced"),
            Self::Partial => format!(".step-{step:06}.partial"),
        }
    }
}

/// The step and place that a folder's name tells; none for a name that the store would not give.
pub(crate) fn parse(name: &str) -> Option<(usize, Place)> {
    let name_of_step = name.strip_prefix('.').unwrap_or(name);
    let digits = name_of_step.strip_prefix("step-")?.split('.').next()?;
    let step = digits.parse().ok()?;
    let mut places = [Place::Final, Place::Replaced, Place::Partial].into_iter();
    let place = places.find(|place| place.name(step) == name)?;
    Some((step, place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_folders_are_read_back() {
        for step in [0, 1, 120, 999_999, 1_234_567, usize::MAX] {
            for place in [Place::Final, Place::Replaced, Place::Partial] {
                assert_eq!(parse(&place.name(step)), Some((step, place)));
            }
        }
    }

    #[test]
    fn other_names_are_foreign() {
        for name in [
            "step-120",
            "step-0000120",
            "step-+00120",
            "step-000120.bak",
            ".step-000120",
            "step-000120.partial",
            ".step-000120.partial-1",
            "Step-000120",
            "step-",
            "step-99999999999999999999999",
            "",
        ] {
            assert_eq!(parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_plain_name_cannot_leave_its_folder() {
        for name in ["weights.safetensors", "state.json", "a", "0-b_c.d"] {
            assert!(is_plain(name), "{name}");
        }
        for name in [
            "", ".", "..", ".hidden", "-a", "a/b", "a\\b", "/a", "C:a", "a b", "ä", "a\0",
        ] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
