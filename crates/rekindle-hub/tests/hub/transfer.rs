//! Downloads that break, continue, arrive in chunks, or come from a mirror.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rekindle_hub::{HubError, HubOptions, TransferError, resolve};

use crate::recorder::Recorder;
use crate::server::{Delivery, FakeHub, MODEL, Request, Response, git_hash, hash};
use crate::{Files, blobs, cached, names, setup, snapshot, tiny_model};

const WEIGHTS: &str = "model.safetensors";

/// A model whose weights have this many bytes, no two chunks of which are alike.
fn large_model(bytes: usize) -> Files {
    let mut files = tiny_model();
    let content = (0..bytes)
        .map(|index| (index * index % 251) as u8)
        .collect();
    files.insert(WEIGHTS.to_owned(), content);
    files
}

/// Ranges of the weights that were asked for.
fn ranges(hub: &FakeHub) -> Vec<Option<(usize, usize)>> {
    let requests = hub.requests();
    let served =
        |request: &&Request| request.is_content(WEIGHTS) && request.path.starts_with("/cdn/");
    requests
        .iter()
        .filter(served)
        .map(|request| request.range)
        .collect()
}

/// Stores the beginning of the weights as a download that was killed leaves it.
fn leave_prefix(options: &HubOptions, prefix: &[u8]) {
    let blobs = blobs(&options.cache);
    fs::create_dir_all(&blobs).unwrap();
    let name = hash(WEIGHTS, &tiny_model()[WEIGHTS]);
    fs::write(blobs.join(format!("{name}.incomplete")), prefix).unwrap();
}

fn assert_complete(options: &HubOptions, files: &Files) {
    let path = snapshot(&options.cache).join(WEIGHTS);
    assert!(
        fs::read(path).unwrap() == files[WEIGHTS],
        "the content differs"
    );
    let left = names(&blobs(&options.cache));
    assert!(
        left.iter().all(|name| !name.ends_with(".incomplete")),
        "{left:?}"
    );
}

#[test]
fn a_killed_download_is_continued() {
    let (hub, _cache, options) = setup(tiny_model(), None);
    leave_prefix(&options, &tiny_model()[WEIGHTS][..5000]);
    let mut bar = Recorder::default();
    resolve(MODEL, &options, &mut bar).unwrap();
    assert_complete(&options, &tiny_model());
    let size = tiny_model()[WEIGHTS].len();
    assert_eq!(ranges(&hub), [Some((5000, size))]);
    let line = bar.0.iter().find(|line| line.file == WEIGHTS).unwrap();
    assert_eq!((line.resumed, line.arrived), (5000, size as u64));
}

#[test]
fn a_complete_partial_file_is_only_verified() {
    let (hub, _cache, options) = setup(tiny_model(), None);
    leave_prefix(&options, &tiny_model()[WEIGHTS]);
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_complete(&options, &tiny_model());
    assert_eq!(ranges(&hub), []);
}

#[test]
fn a_prefix_of_something_else_is_thrown_away() {
    for prefix in [
        vec![b'x'; 5000],
        vec![b'x'; tiny_model()[WEIGHTS].len()],
        vec![b'x'; 50_000],
    ] {
        let (_hub, _cache, options) = setup(tiny_model(), None);
        leave_prefix(&options, &prefix);
        resolve(MODEL, &options, &mut ()).unwrap();
        assert_complete(&options, &tiny_model());
    }
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let hub = FakeHub::hooked(tiny_model(), |request, response| {
        if request.is_content(WEIGHTS) && response.status == 206 {
            Response::new(200, Vec::new(), &tiny_model()[WEIGHTS])
        } else {
            response
        }
    });
    let (_hub, _cache, options) = cached(hub);
    leave_prefix(&options, &tiny_model()[WEIGHTS][..5000]);
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_complete(&options, &tiny_model());
}

#[test]
fn an_unsatisfiable_range_begins_again() {
    let hub = FakeHub::hooked(tiny_model(), |_, response| {
        if response.status == 206 {
            Response::error(416, "")
        } else {
            response
        }
    });
    let (_hub, _cache, options) = cached(hub);
    leave_prefix(&options, &tiny_model()[WEIGHTS][..5000]);
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_complete(&options, &tiny_model());
}

#[test]
fn another_range_than_the_one_asked_for_is_not_appended() {
    let hub = FakeHub::hooked(tiny_model(), |_, response| {
        let range = format!("bytes 4999-8182/{}", tiny_model()[WEIGHTS].len());
        if response.status == 206 {
            response.with("Content-Range", range)
        } else {
            response
        }
    });
    let (_hub, _cache, options) = cached(hub);
    leave_prefix(&options, &tiny_model()[WEIGHTS][..5000]);
    let error = resolve(MODEL, &options, &mut ()).unwrap_err();
    assert!(matches!(error, HubError::Download { .. }), "{error:?}");
}

#[test]
fn a_transfer_that_is_cut_again_and_again_goes_on() {
    let files = large_model(6 << 20);
    let hub = FakeHub::hooked(files.clone(), |request, mut response| {
        if request.is_content(WEIGHTS) && response.status < 300 {
            response.cut = Some(response.body.len().min(5 << 18));
        }
        response
    });
    let (hub, _cache, options) = cached(hub);
    let mut bar = Recorder::default();
    resolve(MODEL, &options, &mut bar).unwrap();
    assert_complete(&options, &files);
    assert_eq!(ranges(&hub).len(), 5);
    assert!(
        bar.0.iter().all(|line| line.arrived == line.bytes),
        "{bar:?}"
    );
}

/// Small chunks, so that a small file has many.
fn in_chunks(options: &mut HubOptions) {
    options.transfer.parallel_above = 100_000;
    options.transfer.chunk_bytes = 50_000;
}

#[test]
fn a_large_file_arrives_in_parallel_chunks() {
    let files = large_model(2_010_000);
    let (hub, _cache, mut options) = setup(files.clone(), None);
    in_chunks(&mut options);
    let mut bar = Recorder::default();
    resolve(MODEL, &options, &mut bar).unwrap();
    assert_complete(&options, &files);
    let mut asked: Vec<_> = ranges(&hub).into_iter().flatten().collect();
    asked.sort_unstable();
    let starts: Vec<_> = asked.iter().map(|range| range.0).collect();
    assert_eq!(starts, (0..2_010_000).step_by(50_000).collect::<Vec<_>>());
    let resolved = hub
        .requests()
        .iter()
        .filter(|request| request.method == "GET" && request.is_resolve(WEIGHTS))
        .count();
    assert_eq!(resolved, 1);
    assert!(
        bar.0.iter().all(|line| line.arrived == line.bytes),
        "{bar:?}"
    );
}

#[test]
fn chunks_continue_a_prefix() {
    let files = large_model(1_000_000);
    let (hub, _cache, mut options) = setup(files.clone(), None);
    in_chunks(&mut options);
    fs::create_dir_all(blobs(&options.cache)).unwrap();
    let name = format!("{}.incomplete", hash(WEIGHTS, &files[WEIGHTS]));
    fs::write(blobs(&options.cache).join(name), &files[WEIGHTS][..123_456]).unwrap();
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_complete(&options, &files);
    assert!(ranges(&hub).iter().all(|range| range.unwrap().0 >= 123_456));
}

#[test]
fn a_broken_chunk_is_continued_alone() {
    let files = large_model(1_000_000);
    let broken = AtomicUsize::new(0);
    let hub = FakeHub::hooked(files.clone(), move |request, mut response| {
        let is_first = || broken.fetch_add(1, Ordering::SeqCst) == 0;
        if request.range == Some((400_000, 450_000)) && response.status == 206 && is_first() {
            response.cut = Some(20_000);
        }
        response
    });
    let (hub, _cache, mut options) = cached(hub);
    in_chunks(&mut options);
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_complete(&options, &files);
    assert!(ranges(&hub).contains(&Some((420_000, 450_000))));
    assert_eq!(ranges(&hub).len(), 21);
}

#[test]
fn an_address_that_expires_is_asked_for_again() {
    let files = large_model(2_000_000);
    let content = files[WEIGHTS].clone();
    let served = AtomicUsize::new(0);
    // An address holds for ten answers.
    let hub = FakeHub::hooked(files.clone(), move |request, response| {
        if request.method == "GET" && request.is_resolve(WEIGHTS) {
            let epoch = served.load(Ordering::SeqCst) / 10;
            return response.with("Location", format!("/expiring/{epoch}/{WEIGHTS}"));
        }
        match request
            .path
            .strip_prefix("/expiring/")
            .and_then(|rest| rest.split_once('/'))
        {
            Some((epoch, _)) => {
                if epoch.parse::<usize>().unwrap() < served.fetch_add(1, Ordering::SeqCst) / 10 {
                    return Response::error(403, "");
                }
                let (start, end) = request.range.unwrap();
                let range = format!("bytes {start}-{}/{}", end - 1, content.len());
                Response::new(206, vec![("Content-Range", range)], &content[start..end])
            }
            None => response,
        }
    });
    let (_hub, _cache, mut options) = cached(hub);
    in_chunks(&mut options);
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_complete(&options, &files);
}

#[test]
fn a_large_file_of_a_server_without_ranges_arrives_as_one() {
    let files = large_model(1_000_000);
    let content = files[WEIGHTS].clone();
    let hub = FakeHub::hooked(files.clone(), move |_, response| {
        if response.status == 206 {
            Response::new(200, Vec::new(), &content)
        } else {
            response
        }
    });
    let (hub, _cache, mut options) = cached(hub);
    in_chunks(&mut options);
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_complete(&options, &files);
    assert_eq!(ranges(&hub).len(), 1);
}

#[test]
fn chunks_that_fail_leave_a_prefix_that_is_continued() {
    let files = large_model(1_000_000);
    let hub = FakeHub::hooked(files.clone(), |request, mut response| {
        if request.range.is_some_and(|range| range.1 > 600_000) && response.status == 206 {
            response.cut = Some(0);
        }
        response
    });
    let (hub, cache, mut options) = cached(hub);
    in_chunks(&mut options);
    let error = resolve(MODEL, &options, &mut ()).unwrap_err();
    assert!(
        matches!(&error, HubError::Download { source, .. } if matches!(**source, TransferError::Part { .. })),
        "{error:?}"
    );
    let name = format!("{}.incomplete", hash(WEIGHTS, &files[WEIGHTS]));
    let prefix = fs::read(blobs(cache.path()).join(name)).unwrap();
    assert!(files[WEIGHTS].starts_with(&prefix) && prefix.len() <= 600_000);

    hub.repair();
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_complete(&options, &files);
}

/// A Hub that answers so many requests with this status and header first.
fn busy(status: u16, times: usize, header: (&'static str, &'static str)) -> FakeHub {
    let count = AtomicUsize::new(0);
    FakeHub::hooked(tiny_model(), move |_, response| {
        if count.fetch_add(1, Ordering::SeqCst) < times {
            Response::error(status, "").with(header.0, header.1)
        } else {
            response
        }
    })
}

#[test]
fn a_busy_hub_is_asked_again_after_the_pause_it_names() {
    for header in [("Retry-After", "1"), ("RateLimit", "\"api\";r=0;t=1")] {
        let (_hub, _cache, options) = cached(busy(429, 1, header));
        let begin = Instant::now();
        resolve(MODEL, &options, &mut ()).unwrap();
        assert!(
            begin.elapsed() >= Duration::from_secs(1),
            "{:?}",
            begin.elapsed()
        );
    }
}

#[test]
fn a_failing_hub_is_asked_three_times() {
    for status in [429, 500, 502, 503, 504] {
        let (_hub, _cache, options) = cached(busy(status, 2, ("X", "")));
        assert!(resolve(MODEL, &options, &mut ()).is_ok(), "{status}");
        let (hub, _cache, options) = cached(busy(status, 3, ("X", "")));
        let error = resolve(MODEL, &options, &mut ()).unwrap_err();
        assert!(matches!(error, HubError::Download { .. }), "{error:?}");
        assert_eq!(hub.requests().len(), 3);
    }
}

#[test]
fn a_pause_of_more_than_two_minutes_is_named() {
    let (hub, _cache, options) = cached(busy(429, 1, ("Retry-After", "121")));
    let error = resolve(MODEL, &options, &mut ()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("121 seconds"), "{source}");
    assert_eq!(hub.requests().len(), 1);
}

#[test]
fn a_listing_continues_on_the_pages_of_the_same_host() {
    let hub = FakeHub::hooked(tiny_model(), |request, mut response| {
        if !request.path.contains("/tree/") {
            return response;
        }
        let entries: Vec<serde_json::Value> = serde_json::from_slice(&response.body).unwrap();
        let page = request
            .path
            .split_once("?cursor=")
            .map_or(0, |(_, page)| page.parse().unwrap());
        response.body = serde_json::to_vec(&entries[page..=page]).unwrap();
        if page + 1 == entries.len() {
            return response;
        }
        let next = format!(
            "<https://elsewhere.invalid/tree?cursor={}>; rel=\"next\"",
            page + 1
        );
        response.with("Link", next)
    });
    let (_hub, _cache, options) = cached(hub);
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_complete(&options, &tiny_model());
}

#[test]
fn a_mirror_that_answers_no_head_is_used() {
    for status in [405, 501] {
        let hub = FakeHub::hooked(tiny_model(), move |request, response| {
            if request.method == "HEAD" {
                Response::error(status, "")
            } else {
                response
            }
        });
        let (_hub, _cache, options) = cached(hub);
        resolve(MODEL, &options, &mut ()).unwrap();
        assert_complete(&options, &tiny_model());
    }
}

#[test]
fn a_mirror_without_hashes_has_blobs_named_by_their_content() {
    let hub = FakeHub::hooked(tiny_model(), |request, mut response| {
        if request.path.contains("/tree/") {
            let text = String::from_utf8(response.body).unwrap();
            response.body = text.replace("\"oid\"", "\"id\"").into_bytes();
        }
        response
            .without("X-Linked-ETag")
            .with("ETag", "\"d41d8cd98f00b204e9800998ecf8427e\"")
    });
    let (hub, cache, options) = cached(hub);
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_complete(&options, &tiny_model());
    let name = git_hash(&tiny_model()[WEIGHTS]);
    assert!(names(&blobs(cache.path())).contains(&name));
    let requests = hub.requests().len();
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_eq!(hub.requests().len(), requests);
}

#[test]
fn a_connection_that_breaks_before_the_answer_is_opened_again() {
    let count = AtomicUsize::new(0);
    let hub = FakeHub::hooked(tiny_model(), move |_, response| {
        if count.fetch_add(1, Ordering::SeqCst) < 2 {
            response.delivered(Delivery::Silent(Duration::ZERO))
        } else {
            response
        }
    });
    let (hub, _cache, options) = cached(hub);
    resolve(MODEL, &options, &mut ()).unwrap();
    assert_complete(&options, &tiny_model());
    let requests = hub.requests();
    assert!(
        requests[..3]
            .iter()
            .all(|request| request.path == requests[0].path)
    );
}
