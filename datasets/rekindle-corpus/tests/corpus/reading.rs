//! Which files are read, what their documents are, and which of them are refused.

use crate::setup::{self, Texts, documents, encoder, tokens};
use rekindle_corpus::{CorpusError, Documents};

/// The texts of these files, of one document each, in the order in which they are read.
fn read(texts: &Texts, names: &[&str]) -> Vec<String> {
    let tokenizer = encoder("byte-level");
    let store = texts.open_with(names, Documents::Auto, &tokenizer).unwrap();
    let texts = documents(&store).into_iter();
    texts.map(|ids| tokenizer.decode(&ids)).collect()
}

#[test]
fn folders_and_patterns_give_their_files_in_order() {
    let texts = Texts::new(&[
        ("b.txt", b"b"),
        ("a/z.txt", b"z"),
        ("a/deep/er/y.ndjson", b"{\"text\": \"y\"}\n"),
        ("a/x.JSONL", b"{\"text\": \"x\"}"),
        ("a/.hidden.txt", b"hidden"),
        ("a/.git/w.txt", b"hidden"),
        ("a/notes.md", b"other"),
        ("c [1].txt", b"c"),
    ]);
    assert_eq!(read(&texts, &["a"]), ["y", "x", "z"]);
    assert_eq!(read(&texts, &["*.txt"]), ["b", "c"]);
    assert_eq!(read(&texts, &["**/*.txt"]), ["z", "b", "c"]);
    assert_eq!(
        read(&texts, &["c [1].txt", "a/?.txt", "."]),
        ["c", "z", "y", "x", "b"]
    );
    // Named or matched, a file is read whatever its extension, and a folder for all its texts.
    assert_eq!(read(&texts, &["a/notes.md"]), ["other"]);
    assert_eq!(read(&texts, &["a/d*"]), ["y"]);
}

#[test]
fn nothing_found_is_an_error_that_names_the_pattern() {
    let texts = Texts::new(&[("a/notes.md", b"other")]);
    for name in ["missing.txt", "*.txt", "a/**/*.txt", "missing/"] {
        let error = texts.open(&[name], Documents::Auto).unwrap_err();
        let expected = format!("no text is found at `{}`", texts.path(name).display());
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().unwrap().contains("a pattern"));
    }
    let error = texts.open(&["a"], Documents::Auto).unwrap_err();
    assert!(matches!(error, CorpusError::NoFiles { .. }), "{error}");
    let error = texts.open(&["a/***"], Documents::Auto).unwrap_err();
    assert!(matches!(error, CorpusError::Pattern { .. }), "{error}");
}

#[test]
fn documents_have_the_tokens_of_their_whole_texts() {
    let lines = "A room,  quietly.\r\n\u{e9} 東京 🎉\n\n the [MASK] film\n";
    let paragraphs = "A room,\r\nquietly.\n\n\n \u{e9} 東京\n🎉\n\nthe film";
    let rows = "{\"text\": \"A room,\\n\\nquietly.\"}\n\n{\"text\": \" the film \", \"id\": 3}\n";
    let texts = Texts::new(&[
        ("lines.txt", format!("\u{feff}{lines}").as_bytes()),
        ("paragraphs.txt", paragraphs.as_bytes()),
        ("rows.jsonl", rows.as_bytes()),
    ]);
    let expect = |name: &str, kind: Documents, expected: &[&str]| {
        for tokenizer in ["wordpiece", "byte-level", "unigram"].map(encoder) {
            let store = texts.open_with(&[name], kind, &tokenizer).unwrap();
            assert_eq!(documents(&store), tokens(&tokenizer, expected), "{name}");
            let all: usize = documents(&store).iter().map(Vec::len).sum();
            assert_eq!(store.tokens(), all as u64);
        }
    };
    let of_lines = ["A room,  quietly.", "\u{e9} 東京 🎉", " the [MASK] film"];
    let of_paragraphs = ["A room,\nquietly.", " \u{e9} 東京\n🎉", "the film"];
    expect("lines.txt", Documents::Line, &of_lines);
    expect("paragraphs.txt", Documents::Auto, &of_paragraphs);
    expect("paragraphs.txt", Documents::Paragraph, &of_paragraphs);
    expect(
        "paragraphs.txt",
        Documents::File,
        &[&paragraphs.replace('\r', "")],
    );
    for kind in Documents::ALL {
        expect("rows.jsonl", kind, &["A room,\n\nquietly.", " the film "]);
    }
}

#[test]
fn a_decoder_s_texts_are_those_of_its_renderer() {
    let texts = Texts::new(&[("a.txt", b"it spells </s> here\nand <s> there")]);
    let store = texts.open_decoder("a.txt", setup::WITH_BOS);
    let (_, renderer) = setup::decoder(setup::WITH_BOS);
    let expected = renderer.texts(&["it spells </s> here", "and <s> there"]);
    let expected: Vec<_> = expected.into_iter().map(Result::unwrap).collect();
    assert_eq!(documents(&store), expected);
}

#[test]
fn what_documents_are_is_said() {
    let texts = Texts::new(&[
        ("a.txt", b"one\ntwo\n"),
        ("b.txt", b"one\n\ntwo\nthree\n"),
        ("c.jsonl", b"{\"text\": \"one\"}\n"),
    ]);
    let store = texts.open(&["."], Documents::Auto).unwrap();
    let [a, b, c, all] = <[String; 4]>::try_from(store.describe()).unwrap();
    assert!(
        a.contains("a.txt: 2 lines as documents (no blank lines between lines), "),
        "{a}"
    );
    assert!(
        b.contains("b.txt: 2 paragraphs as documents (blank lines between them), "),
        "{b}"
    );
    assert!(
        c.contains("c.jsonl: 1 row as a document (extension `.jsonl`), "),
        "{c}"
    );
    assert!(all.starts_with("3 files: 5 documents, "), "{all}");
    let again = texts.open(&["."], Documents::Auto).unwrap();
    assert!(
        again
            .describe()
            .iter()
            .all(|line| line.ends_with(" tokens (cached)"))
    );
    let whole = texts.open(&["b.txt"], Documents::File).unwrap();
    assert!(whole.describe()[0].contains("b.txt: the whole file as one document (given), "));
}

#[test]
fn of_many_files_ten_are_named() {
    let texts = Texts::new(&[]);
    for number in 0..23 {
        texts.write(&format!("{number:02}.txt"), b"a film");
    }
    let lines = texts.open(&["."], Documents::Auto).unwrap().describe();
    assert_eq!(lines.len(), 12);
    assert_eq!(lines[10], "and 13 more files");
    assert!(
        lines[11].starts_with("23 files: 23 documents, "),
        "{}",
        lines[11]
    );
}

#[test]
fn bad_rows_are_named_by_file_line_and_field() {
    let rows = b"{\"text\": \"a\"}\n{\"text\": 3}\n{\"body\": \"a\"}\n{\"text\": \"b\"}\n";
    let texts = Texts::new(&[
        ("rows.jsonl", rows),
        ("bytes.txt", b"one\ntw\xffo\nthree\n"),
        ("wide.txt", b"\xff\xfeo\0n\0e\0"),
        ("table.csv", b"text,label\na,b\n"),
    ]);
    let text = |name: &str| {
        let error = texts.open(&[name], Documents::Auto).unwrap_err();
        error
            .to_string()
            .replace(&texts.path("").display().to_string(), "")
    };
    let expected = "2 of 4 rows in `rows.jsonl` cannot be used\n\
        rows.jsonl:2: field `text`: holds an integer (write a string)\n\
        rows.jsonl:3: field `text`: is missing; the row has `body` (add the text or remove the row)";
    assert_eq!(text("rows.jsonl"), expected);
    let expected = "1 of 3 rows in `bytes.txt` cannot be used\n\
        bytes.txt:2: not UTF-8 from byte 3 of the line on (save the file as UTF-8)";
    assert_eq!(text("bytes.txt"), expected);
    assert_eq!(text("wide.txt"), "`wide.txt` is UTF-16, expected UTF-8");
    assert_eq!(text("table.csv"), "`table.csv` is a table, not a text");
    assert!(!texts.cache().exists(), "nothing is written of bad rows");
}

#[test]
fn a_text_that_cannot_be_tokenized_is_named() {
    let texts = Texts::new(&[("a.txt", "one\n\ntwo\n\u{fdd0}three\n\nfour".as_bytes())]);
    let (tokenizer, renderer) = setup::decoder(setup::PLAIN);
    let corpus = rekindle_corpus::Corpus {
        paths: &[texts.path("a.txt")],
        documents: Documents::Auto,
        tokenizer: &tokenizer,
        renderer: Some(&renderer),
    };
    let error = corpus.open(&texts.cache(), &mut ()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.ends_with("a.txt:3: the text holds U+FDD0, which is no character"),
        "{error}"
    );
}

#[test]
fn files_without_text_are_refused() {
    let texts = Texts::new(&[("a.txt", b"\n \n"), ("b.jsonl", b"{\"text\": \" \"}\n")]);
    let error = texts
        .open(&["a.txt", "b.jsonl"], Documents::Auto)
        .unwrap_err();
    assert!(
        error.to_string().ends_with("a.txt` and 1 more files"),
        "{error}"
    );
    let store = Texts::new(&[("a.txt", b"\n \n"), ("b.txt", b"film")]);
    let store = store.open(&["."], Documents::Auto).unwrap();
    assert_eq!(store.documents(), 1);
}
