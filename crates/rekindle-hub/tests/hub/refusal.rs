//! What a user reads when the Hub refuses, lacks something, or does not answer.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use rekindle_hub::{HubError, HubOptions, resolve};
use tempfile::tempdir;

use crate::server::{FakeHub, Fault, MODEL};
use crate::{Files, names, options, tiny_model};

/// The error of a model that the imitated Hub does not give, and the cache is as empty as before.
fn refused(model: &str, files: Files, fault: Option<Fault>, token: Option<&str>) -> HubError {
    let hub = FakeHub::start(files, fault);
    let cache = tempdir().unwrap();
    let options = HubOptions {
        token: token.map(str::to_owned),
        ..options(cache.path(), &hub.endpoint)
    };
    let error = resolve(model, &options, &mut ()).unwrap_err();
    assert_eq!(names(cache.path()), Vec::<String>::new());
    error
}

fn hint(error: &HubError) -> String {
    error.hint().unwrap()
}

#[test]
fn an_unknown_model_says_that_folder_and_hub_were_tried() {
    let error = refused("org/tyni", tiny_model(), None, None);
    assert!(
        error
            .to_string()
            .starts_with("no model `org/tyni`: there is no such folder, and `http://127"),
        "{error}"
    );
    assert!(
        hint(&error).starts_with("check the spelling"),
        "{}",
        hint(&error)
    );
}

#[test]
fn a_mistyped_folder_that_could_be_an_id_gets_the_nearest_name() {
    // Tests run in the folder of their package.
    let error = refused("tests/hubb", tiny_model(), None, None);
    assert_eq!(hint(&error), "did you mean the folder `tests/hub`?");
}

#[test]
fn a_stranger_is_told_that_the_model_may_be_private() {
    let error = refused(
        MODEL,
        tiny_model(),
        Some(Fault::Refuse(401, "RepoNotFound")),
        None,
    );
    assert!(matches!(error, HubError::UnknownModel { .. }), "{error}");
    assert!(hint(&error).contains("`HF_TOKEN`"), "{}", hint(&error));
}

#[test]
fn a_rejected_token_is_told_from_a_missing_model() {
    let error = refused(
        MODEL,
        tiny_model(),
        Some(Fault::Refuse(401, "")),
        Some("hf_old"),
    );
    assert!(matches!(error, HubError::TokenRejected { .. }), "{error}");
    assert!(hint(&error).contains("valid token"), "{}", hint(&error));
}

#[test]
fn a_gated_model_says_where_to_ask() {
    let gate = Some(Fault::RefuseFile("config.json", 401, "GatedRepo"));
    let error = refused(MODEL, tiny_model(), gate, None);
    assert_eq!(
        error.to_string(),
        "no access to `org/tiny`: it is gated or private"
    );
    assert!(
        hint(&error).contains("/org/tiny`, then put a token into `HF_TOKEN`"),
        "{}",
        hint(&error)
    );

    let gate = Some(Fault::RefuseFile("config.json", 403, ""));
    let error = refused(MODEL, tiny_model(), gate, Some("hf_mine"));
    assert!(
        hint(&error).ends_with("let the token read gated models"),
        "{}",
        hint(&error)
    );
}

#[test]
fn an_unknown_revision_is_named() {
    let error = refused("org/tiny@v9", tiny_model(), None, None);
    assert_eq!(error.to_string(), "`org/tiny` has no revision `v9`");
}

#[test]
fn a_failing_hub_is_not_called_unreachable() {
    let error = refused(MODEL, tiny_model(), Some(Fault::Refuse(503, "")), None);
    assert!(matches!(error, HubError::Download { .. }), "{error}");
}

#[test]
fn weights_of_another_format_are_refused_before_anything_is_fetched() {
    let mut files = tiny_model();
    files.remove("model.safetensors");
    let error = refused(MODEL, files, None, None);
    assert_eq!(
        error.to_string(),
        "`org/tiny` has only `pytorch_model.bin`, and only safetensors are read"
    );
    assert!(
        hint(&error).contains("safe_serialization=True"),
        "{}",
        hint(&error)
    );
}

#[test]
fn a_missing_tokenizer_is_named() {
    let hub = FakeHub::start(
        Files::from([tiny_model().remove_entry("config.json").unwrap()]),
        None,
    );
    let cache = tempdir().unwrap();
    let error = resolve(MODEL, &options(cache.path(), &hub.endpoint), &mut ()).unwrap_err();
    assert_eq!(error.to_string(), "`org/tiny` has no `tokenizer.json`");
    assert!(hint(&error).contains("save_pretrained"), "{}", hint(&error));
}

#[test]
fn an_unreachable_hub_is_noticed_soon() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let cache = tempdir().unwrap();
    let begin = Instant::now();
    let error = resolve(
        MODEL,
        &options(cache.path(), &format!("http://{closed}")),
        &mut (),
    )
    .unwrap_err();
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    let folder = cache.path().join("models--org--tiny");
    assert_eq!(
        error.to_string(),
        format!(
            "`org/tiny` is neither a folder nor in the cache, and `http://{closed}` cannot be reached: no snapshot in `{}`",
            folder.display()
        )
    );
    assert!(
        hint(&error).contains("`hf download org/tiny`"),
        "{}",
        hint(&error)
    );
}

#[test]
fn the_token_is_sent_if_there_is_one_and_only_then() {
    for token in [None, Some("hf_mine")] {
        let hub = FakeHub::start(tiny_model(), None);
        let cache = tempdir().unwrap();
        let options = HubOptions {
            token: token.map(str::to_owned),
            ..options(cache.path(), &hub.endpoint)
        };
        resolve(MODEL, &options, &mut ()).unwrap();
        let expected = token.map(|token| format!("Bearer {token}"));
        let requests = hub.requests();
        let asked = requests
            .iter()
            .filter(|request| !request.path.starts_with("/cdn/"));
        assert!(asked.clone().count() > 8);
        assert!(
            asked
                .into_iter()
                .all(|request| request.authorization == expected),
            "{token:?}"
        );
    }
}
