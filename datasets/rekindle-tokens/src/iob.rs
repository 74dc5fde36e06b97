//! IOB1, where an entity begins with `B-` only if it follows one of the same type at once.
//!
//! In BIO (IOB2), the way that models are trained here, every entity begins with `B-`.

use rekindle_data::TaggedExample;

/// Converts a file's tags to BIO if the file as a whole is IOB1; says what it found, if anything.
pub(crate) fn convert(rows: &mut [TaggedExample]) -> Option<&'static str> {
    let mut begins_with_i = false;
    let mut is_iob1 = true;
    for row in &*rows {
        let mut before = "O";
        for tag in &row.tags {
            match tag.split_once('-') {
                Some(("I", kind)) => begins_with_i |= !is_inside(before, kind),
                Some(("B", kind)) => is_iob1 &= is_inside(before, kind),
                _ => is_iob1 &= tag == "O",
            }
            before = tag;
        }
    }
    if !begins_with_i {
        return None;
    }
    if !is_iob1 {
        return Some("; some entities begin with `I-`, kept as they are");
    }
    for row in rows {
        to_bio(&mut row.tags);
    }
    Some("; tags are IOB1, converted to BIO")
}

/// True if the tag is part of an entity of this type.
fn is_inside(tag: &str, kind: &str) -> bool {
    matches!(tag.split_once('-'), Some(("B" | "I", other)) if other == kind)
}

fn to_bio(tags: &mut [String]) {
    // Backwards, so that the tag before is still the one of the file.
    for k in (0..tags.len()).rev() {
        let before = if k == 0 { "O" } else { tags[k - 1].as_str() };
        if let Some(("I", kind)) = tags[k].split_once('-')
            && !is_inside(before, kind)
        {
            tags[k] = format!("B-{kind}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(sentences: &[&str]) -> Vec<TaggedExample> {
        let row = |tags: &&str| TaggedExample {
            tokens: tags.split(' ').map(|_| "word".to_owned()).collect(),
            tags: tags.split(' ').map(str::to_owned).collect(),
            line: 1,
        };
        sentences.iter().map(row).collect()
    }

    #[test]
    fn iob1_becomes_bio() {
        let mut found = rows(&[
            "I-PER I-PER O I-LOC",
            "I-ORG I-LOC I-LOC B-LOC I-LOC O",
            "O O",
        ]);
        let note = convert(&mut found).unwrap();
        assert!(note.contains("IOB1"));
        let expected = rows(&[
            "B-PER I-PER O B-LOC",
            "B-ORG B-LOC I-LOC B-LOC I-LOC O",
            "O O",
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn bio_is_left_alone_without_a_note() {
        let sentences = ["B-PER I-PER O B-LOC B-LOC", "B-ORG B-LOC"];
        let mut found = rows(&sentences);
        assert_eq!(convert(&mut found), None);
        assert_eq!(found, rows(&sentences));
    }

    #[test]
    fn one_slip_does_not_make_a_bio_file_iob1() {
        let sentences = ["B-PER I-PER O", "O I-LOC O"];
        let mut found = rows(&sentences);
        assert!(convert(&mut found).unwrap().contains("kept"));
        assert_eq!(found, rows(&sentences));
    }

    #[test]
    fn other_schemes_are_left_alone() {
        for sentences in [["S-PER O I-LOC", "B-LOC E-LOC"], ["NOUN I-X", "DET O"]] {
            let mut found = rows(&sentences);
            assert!(convert(&mut found).unwrap().contains("kept"));
            assert_eq!(found, rows(&sentences));
        }
        let mut found = rows(&["NOUN VERB"]);
        assert_eq!(convert(&mut found), None);
    }
}
