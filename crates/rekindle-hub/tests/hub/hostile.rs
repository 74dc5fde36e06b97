//! A Hub that sends what no Hub should send: nothing outside of the cache changes, and each attempt ends.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rekindle_hub::{HubError, HubOptions, TransferError, TransferOptions, resolve};
use tempfile::{TempDir, tempdir};

use crate::server::{COMMIT, Delivery, FakeHub, MODEL, Request, Response};
use crate::{blobs, names, options, snapshot, tiny_model};

const WEIGHTS: &str = "model.safetensors";

/// A cache in a folder that nobody else may write to, and what came of a download into it.
struct Attack {
    hub: FakeHub,
    guarded: TempDir,
    outcome: Result<PathBuf, HubError>,
}

impl Attack {
    fn run(hook: impl Fn(&Request, Response) -> Response + Send + Sync + 'static) -> Self {
        Self::run_with(hook, |_| {})
    }

    /// Downloads from a Hub with this hook, and checks that nothing outside of the cache has changed.
    fn run_with(
        hook: impl Fn(&Request, Response) -> Response + Send + Sync + 'static,
        change: impl Fn(&mut HubOptions),
    ) -> Self {
        let guarded = tempdir().unwrap();
        let cache = guarded.path().join("a/b/c/hub");
        fs::create_dir_all(&cache).unwrap();
        fs::write(guarded.path().join("victim"), "precious").unwrap();
        let hub = FakeHub::hooked(tiny_model(), hook);
        let mut options = options(&cache, &hub.endpoint);
        change(&mut options);
        let outcome = resolve(MODEL, &options, &mut ());
        assert_eq!(names(guarded.path()), ["a", "victim"]);
        assert_eq!(names(&guarded.path().join("a/b/c")), ["hub"]);
        assert_eq!(
            fs::read(guarded.path().join("victim")).unwrap(),
            b"precious"
        );
        if let Err(error) = &outcome {
            let shown = shown(error);
            assert!(!shown.contains(char::is_control), "{shown:?}");
            assert!(shown.len() < 2000, "{shown}");
        }
        Self {
            hub,
            guarded,
            outcome,
        }
    }

    fn cache(&self) -> PathBuf {
        self.guarded.path().join("a/b/c/hub")
    }

    /// Bytes of all files in the cache.
    fn bytes(&self) -> u64 {
        bytes(&self.cache())
    }

    fn error(&self) -> &HubError {
        self.outcome.as_ref().unwrap_err()
    }

    /// The failed transfer behind a failed download.
    fn source(&self) -> &TransferError {
        match self.error() {
            HubError::Download { source, .. } => source,
            other => panic!("{other:?}"),
        }
    }
}

fn bytes(folder: &Path) -> u64 {
    let entries = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let size = |path: PathBuf| match path.symlink_metadata().unwrap() {
        metadata if metadata.is_dir() => bytes(&path),
        metadata if metadata.is_file() => metadata.len(),
        _ => 0,
    };
    entries.map(size).sum()
}

/// Everything that a user sees of an error.
fn shown(error: &HubError) -> String {
    let mut text = format!("{error} {}", error.hint().unwrap_or_default());
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(" {error}");
        source = error.source();
    }
    text
}

fn is_info(request: &Request) -> bool {
    request.path.contains("/revision/")
}

fn is_tree(request: &Request) -> bool {
    request.path.contains("/tree/")
}

/// A hook that sends another list of files, made of the right one.
fn listing(change: impl Fn(String) -> String) -> impl Fn(&Request, Response) -> Response {
    move |request, mut response| {
        if is_tree(request) {
            let text = String::from_utf8(response.body).unwrap();
            response.body = change(text).into_bytes();
        }
        response
    }
}

/// A hook that sets a header of each answer about a file.
fn header(name: &'static str, value: String) -> impl Fn(&Request, Response) -> Response {
    move |request, response| {
        if request.path.contains("/resolve/") {
            response.with(name, value.clone())
        } else {
            response
        }
    }
}

#[test]
fn listed_names_that_lead_out_are_ignored() {
    let attack = Attack::run(listing(|list| {
        let evil = [
            "../../evil",
            "/tmp/evil",
            "a/../../b",
            "..",
            "x\\\\y",
            "\\u001b[31m",
        ];
        let evil = evil.map(|path| format!(r#"{{"type": "file", "size": 3, "path": "{path}"}}, "#));
        list.replacen('[', &format!("[{}", evil.concat()), 1)
    }));
    assert_eq!(attack.outcome.as_ref().unwrap(), &snapshot(&attack.cache()));
}

#[test]
fn commits_that_are_not_hashes_are_refused() {
    let long = "a".repeat(100_000);
    for sha in [
        "../../../../evil",
        "",
        "main",
        &long,
        &COMMIT[1..],
        "\\u001b[31m",
    ] {
        let body = format!(r#"{{"sha": "{sha}"}}"#);
        let attack = Attack::run(move |request, response| {
            if is_info(request) {
                Response::new(200, Vec::new(), body.as_bytes())
            } else {
                response
            }
        });
        assert!(
            matches!(attack.source(), TransferError::Malformed { what: "commit" }),
            "{sha}"
        );
        assert_eq!(names(&attack.cache()), Vec::<String>::new());
    }
}

#[test]
fn the_commit_that_was_asked_for_names_the_snapshot() {
    for commit in ["../../../../evil", &"f".repeat(40)] {
        let attack = Attack::run(header("X-Repo-Commit", commit.to_owned()));
        assert_eq!(attack.outcome.as_ref().unwrap(), &snapshot(&attack.cache()));
    }
}

#[test]
fn etags_that_are_not_hashes_are_ignored() {
    let victim = format!("\"{}\"", tempdir().unwrap().path().join("victim").display());
    let long = format!("\"{}\"", "e".repeat(10_000));
    for etag in [
        &victim,
        &long,
        "\"../../../../victim\"",
        "\"\"",
        "",
        "\"\\x1b[31m\"",
    ] {
        for name in ["ETag", "X-Linked-ETag"] {
            let attack = Attack::run(header(name, etag.to_owned()));
            assert!(
                attack.outcome.is_ok(),
                "{name} {etag}: {:?}",
                attack.outcome
            );
        }
    }
}

#[test]
fn two_hashes_for_one_file_are_refused() {
    let attack = Attack::run(header("ETag", format!("\"{}\"", "0".repeat(40))));
    assert!(matches!(attack.source(), TransferError::TwoHashes { .. }));
}

#[test]
fn sizes_beyond_reason_are_refused() {
    for size in ["9223372036854775808", "-1", "1e99", "\"3\"", "null"] {
        let attack = Attack::run(listing(move |list| {
            let entries = list
                .split("\"size\": ")
                .map(|entry| match entry.split_once(',') {
                    Some((number, rest)) if number.parse::<u64>().is_ok() => {
                        format!("{size},{rest}")
                    }
                    _ => entry.to_owned(),
                });
            entries.collect::<Vec<_>>().join("\"size\": ")
        }));
        assert!(
            matches!(
                attack.source(),
                TransferError::Size { .. }
                    | TransferError::Json(_)
                    | TransferError::Malformed { .. }
            ),
            "{size}: {:?}",
            attack.error()
        );
    }
}

#[test]
fn json_of_any_depth_ends_in_an_error() {
    let attack = Attack::run(listing(|_| "[".repeat(1_000_000)));
    assert!(matches!(attack.source(), TransferError::Json(_)));
}

#[test]
fn a_listing_without_an_end_is_given_up() {
    let attack = Attack::run(|request, response| {
        if is_tree(request) {
            response.with("Link", "</x?cursor=again>; rel=\"next\"")
        } else {
            response
        }
    });
    assert!(matches!(attack.source(), TransferError::Listing { .. }));
    assert!(attack.hub.requests().len() < 100);
}

#[test]
fn a_listing_of_300_megabytes_is_not_read() {
    const MEGABYTES_300: usize = 300_000_000;
    for length in [MEGABYTES_300, 0] {
        let attack = Attack::run(move |request, mut response| {
            if is_tree(request) {
                response.body = vec![b' '; 1 << 16];
                response.length = Some(length);
                response.delivered(Delivery::Endless(MEGABYTES_300))
            } else {
                response
            }
        });
        assert!(matches!(attack.source(), TransferError::Long { .. }));
        assert!(attack.hub.sent() < 40_000_000, "{}", attack.hub.sent());
    }
}

#[test]
fn control_characters_of_a_refusal_are_not_shown() {
    for (code, message) in [
        ("x\x1b[31m", "no \x1b]0;OWNED\x07"),
        ("x", "no \u{9b}31m\u{202e}"),
    ] {
        for status in [403, 418] {
            Attack::run(move |_, _| Response::error(status, code).with("X-Error-Message", message))
                .error();
        }
    }
    let attack = Attack::run(|_, _| Response::error(418, "").with("X-Error-Message", "tea only"));
    assert_eq!(attack.source().to_string(), "HTTP status 418: tea only");
}

#[test]
fn redirects_end_and_stay_on_the_web() {
    let to = |location: &'static str| {
        Attack::run(move |request, _| {
            Response::redirect(format!("{location}?{}", request.path.len()))
        })
    };
    let attack = to("/again");
    assert!(matches!(attack.source(), TransferError::Redirects { .. }));
    assert!(attack.hub.requests().len() < 20);
    for location in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://",
        "http://[::1",
    ] {
        let attack = to(location);
        assert!(
            matches!(attack.source(), TransferError::RedirectAddress { .. }),
            "{location}: {:?}",
            attack.error()
        );
    }
}

#[test]
fn other_bytes_of_the_same_size_are_noticed_and_removed() {
    let attack = Attack::run(|request, mut response| {
        if request.is_content(WEIGHTS) && response.status == 200 {
            *response.body.last_mut().unwrap() ^= 1;
        }
        response
    });
    assert!(
        matches!(attack.error(), HubError::WrongContent { file, .. } if file == WEIGHTS),
        "{:?}",
        attack.error()
    );
    assert_eq!(names(&blobs(&attack.cache())).len(), 3);
    assert!(!names(&snapshot(&attack.cache())).contains(&WEIGHTS.to_owned()));
    let is_weights = |file: &String| file == WEIGHTS;
    // Each attempt asks the Hub, which redirects.
    assert_eq!(
        attack.hub.fetched().into_iter().filter(is_weights).count(),
        3
    );
}

#[test]
fn another_length_than_the_listed_one_is_damage() {
    for length in [100, 1_000_000] {
        let attack = Attack::run(move |request, mut response| {
            if request.is_content(WEIGHTS) && response.status == 200 {
                response.length = Some(length);
            }
            response
        });
        assert!(
            matches!(attack.error(), HubError::Damaged { found, .. } if *found == length as u64),
            "{:?}",
            attack.error()
        );
    }
}

#[test]
fn a_body_without_an_end_is_cut_off() {
    const GIGABYTES_3: usize = 3_000_000_000;
    let attack = Attack::run(|request, mut response| {
        if request.is_content(WEIGHTS) && response.status == 200 {
            response.body = vec![b'x'; 1_000_000];
            response.length = Some(0);
            return response.delivered(Delivery::Endless(GIGABYTES_3));
        }
        response
    });
    assert!(
        matches!(attack.error(), HubError::Damaged { .. }),
        "{:?}",
        attack.error()
    );
    assert!(attack.hub.sent() < 100_000_000, "{}", attack.hub.sent());
    assert!(attack.bytes() < 100_000);
}

#[test]
fn compressed_content_is_refused() {
    let attack = Attack::run(|request, response| {
        if request.is_content("config.json") {
            response.with("Content-Encoding", "gzip")
        } else {
            response
        }
    });
    assert!(matches!(attack.source(), TransferError::Encoded { .. }));
}

#[test]
fn silence_is_given_up() {
    const SHORT: Duration = Duration::from_millis(200);
    type Change = fn(&mut TransferOptions);
    let begin = Instant::now();
    let cases: [(&str, Change); 2] = [
        ("GET", |transfer| transfer.read_timeout = SHORT),
        ("HEAD", |transfer| transfer.head_timeout = SHORT),
    ];
    for (method, change) in cases {
        let silent = move |request: &Request, response: Response| {
            if request.method == method && request.path.ends_with(WEIGHTS) {
                response.delivered(Delivery::Silent(Duration::from_secs(20)))
            } else {
                response
            }
        };
        let attack = Attack::run_with(silent, |options| change(&mut options.transfer));
        assert!(
            matches!(attack.error(), HubError::Unreachable { .. }),
            "{method}: {:?}",
            attack.error()
        );
    }
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn a_transfer_that_drips_has_stalled() {
    let begin = Instant::now();
    let dripping = |request: &Request, response: Response| {
        if request.is_content(WEIGHTS) && response.status < 300 {
            response.delivered(Delivery::Drip(Duration::from_millis(20)))
        } else {
            response
        }
    };
    let attack = Attack::run_with(dripping, |options| {
        options.transfer.stall_window = Duration::from_millis(300);
    });
    assert!(
        matches!(attack.source(), TransferError::Stalled),
        "{:?}",
        attack.error()
    );
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
}
