//! What people and spreadsheets get to read of a run.

use std::collections::BTreeMap;

use insta::assert_snapshot;
use rekindle_dashboard::{MetricsCsv, PlainLines, Sink};
use rekindle_train::events::{
    Checkpoint, End, Evaluation, Event, Events, Finish, Load, Resume, Sample, Skip, Split, Start,
    Step,
};
use serde_json::{Map, json};

fn start(steps: usize) -> Event {
    Event::Start(Start {
        run: "reviews".into(),
        task: "classify".into(),
        model: "org/name".into(),
        backend: "flex (processor, 2 threads)".into(),
        steps,
        epochs: 2,
        train_rows: 90,
        valid_rows: 10,
        trainable_parameters: 1_234_567,
        parameters: 22_713_986,
        state_bytes: 105_670_000,
        metric: Some("accuracy".into()),
        data: Vec::new(),
        environment: BTreeMap::new(),
    })
}

fn load() -> Event {
    let unused = (0..6).map(|layer| format!("cls.predictions.transform.{layer}.weight"));
    Event::Load(Load {
        loaded: vec!["embeddings".into(), "layers".into()],
        fresh: vec!["classifier.weight".into(), "classifier.bias".into()],
        replaced: vec!["`pooler.weight`: expected [4, 4], found [8, 8]".into()],
        unused: unused.collect(),
        adapted: vec!["12 × attention.self.query".into()],
    })
}

fn step(step: usize) -> Event {
    Event::Step(Step {
        step,
        epoch: step as f64 / 2.0,
        loss: 1.0 / step as f64,
        accuracy: Some(0.5),
        learning_rate: 5e-5 / step as f64,
        grad_norm: 2.5,
        tokens: 400,
        examples: 16,
        seconds: 30.0 * step as f64,
        tokens_per_second: 12_345.6,
        memory_bytes: Some(1 << 30),
    })
}

fn scores(step: usize, metrics: &[(&str, f64)]) -> Evaluation {
    let metrics = metrics
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)));
    Evaluation {
        step,
        epoch: step as f64 / 2.0,
        train_loss: Some(0.75),
        valid_loss: Some(0.5),
        metrics: metrics.collect(),
        details: Map::new(),
        is_best: step == 2,
        seconds: 61.26,
        tokens_per_second: 9876.0,
    }
}

const METRICS: [(&str, f64); 2] = [("accuracy", 0.875), ("mcc", -0.125)];

fn finish(steps: usize) -> Finish {
    Finish {
        general: None,
        steps,
        end: End::Completed,
        best_step: 2,
        metric: Some("accuracy".into()),
        best: Some(0.875),
        checkpoint: Some(4),
        seconds: 3725.0,
        first_step_seconds: 1.25,
        step_seconds: 3700.0,
        event_seconds: 0.5,
        tokens_per_second: 9876.0,
    }
}

/// Two epochs of two steps, with an evaluation in the middle of the second.
fn run() -> Vec<Event> {
    vec![
        start(4),
        load(),
        step(1),
        step(2),
        Event::Sample(Sample {
            step: 2,
            prompt: "Q: 2 + 2?\nA:".into(),
            completion: " 4".into(),
        }),
        Event::Evaluation(scores(2, &METRICS)),
        Event::Epoch(scores(2, &METRICS)),
        step(3),
        Event::Evaluation(scores(3, &METRICS)),
        Event::Warning {
            message: "the disk is nearly full".into(),
        },
        step(4),
        Event::Evaluation(scores(4, &METRICS)),
        Event::Epoch(scores(4, &METRICS)),
        Event::Finish(finish(4)),
    ]
}

fn lines(events: impl IntoIterator<Item = Event>, log_every: usize) -> String {
    let mut text = Vec::new();
    let mut sink = PlainLines::new(&mut text, log_every);
    for event in events {
        sink.emit(event);
    }
    assert!(sink.failure().is_none());
    String::from_utf8(text).unwrap()
}

fn table(events: impl IntoIterator<Item = Event>, metrics: &'static [&'static str]) -> String {
    let mut text = Vec::new();
    let mut sink = MetricsCsv::new(&mut text, metrics);
    for event in events {
        sink.emit(event);
    }
    assert!(sink.failure().is_none());
    drop(sink);
    String::from_utf8(text).unwrap()
}

#[test]
fn a_run_is_told_in_lines() {
    assert_snapshot!(lines(run(), 1), @r#"
    run reviews
    training 1,234,567 of 22,713,986 parameters (5.44 %) of org/name on flex (processor, 2 threads)
    memory for weights, gradients and optimizer: 105.7 MB; activations come on top
    loaded 2 tensors of the base
    made from the seed: classifier.weight, classifier.bias
    unused: cls.predictions.transform.0.weight, cls.predictions.transform.1.weight,
      cls.predictions.transform.2.weight, cls.predictions.transform.3.weight,
      cls.predictions.transform.4.weight, cls.predictions.transform.5.weight
    adapters on: 12 × attention.self.query
    warning: the head is made anew, the base's differs: `pooler.weight`: expected [4, 4], found [8, 8]
    step 1/4  loss 1.0000  rate 5.00e-5  norm 2.500  12,345 tok/s
    step 2/4  loss 0.5000  rate 2.50e-5  norm 2.500  12,345 tok/s  2:00 left
    sample: "Q: 2 + 2?\nA:"
         => " 4"
    epoch   step train loss valid loss accuracy     mcc seconds    tok/s
     1.00      2     0.7500     0.5000   0.8750 -0.1250    61.3    9,876  best
    step 3/4  loss 0.3333  rate 1.67e-5  norm 2.500  12,345 tok/s  1:15 left
    evaluation at step 3: loss 0.5000  accuracy 0.8750
    warning: the disk is nearly full
    step 4/4  loss 0.2500  rate 1.25e-5  norm 2.500  12,345 tok/s  0:00 left
     2.00      4     0.7500     0.5000   0.8750 -0.1250    61.3    9,876
    finished after 4 steps in 1:02:05 (first step 1.2 s), best accuracy 0.8750 at step 2
    "#);
}

#[test]
fn steps_between_the_logged_ones_are_left_out() {
    let logged = |text: String| -> Vec<String> {
        let steps = text.lines().filter(|line| line.starts_with("step "));
        steps
            .map(|line| line.split("  loss").next().unwrap().to_owned())
            .collect()
    };
    let steps = || std::iter::once(start(10)).chain((1..=10).map(step));
    assert_eq!(
        logged(lines(steps(), 4)),
        ["step  4/10", "step  8/10", "step 10/10"]
    );
}

#[test]
fn the_header_is_written_again_when_it_is_out_of_sight() {
    let epoch = |number| Event::Epoch(scores(number, &METRICS));
    let few = [epoch(2)]
        .into_iter()
        .chain((1..5).map(step))
        .chain([epoch(4)]);
    let many = [epoch(2)]
        .into_iter()
        .chain((1..30).map(step))
        .chain([epoch(4)]);
    let headers = |text: String| {
        text.lines()
            .filter(|line| line.starts_with("epoch"))
            .count()
    };
    assert_eq!(headers(lines(few, 1)), 1);
    assert_eq!(headers(lines(many, 1)), 2);
}

#[test]
fn no_line_of_any_task_is_wider_than_a_hundred_columns() {
    let tasks: [&[&str]; 4] = [
        &["accuracy", "macro_f1", "micro_f1", "mcc"],
        &["micro_f1", "macro_f1", "subset_accuracy"],
        &["spearman", "pearson", "mse", "mae"],
        &["f1", "precision", "recall", "token_accuracy"],
    ];
    for names in tasks {
        let metrics: Vec<_> = names.iter().map(|name| (*name, -0.123_456)).collect();
        let mut scores = scores(2, &metrics);
        (scores.step, scores.epoch) = (123_456, 99.99);
        (scores.train_loss, scores.valid_loss) = (Some(1_234.567_8), Some(12_345.678_9));
        (scores.seconds, scores.tokens_per_second, scores.is_best) = (99_999.9, 1_234_567.0, true);
        let mut slow = finish(123_456);
        slow.seconds = 1e6;
        let events = [
            start(123_456),
            load(),
            step(123_455),
            Event::Epoch(scores),
            Event::Finish(slow),
        ];
        for line in lines(events, 1).lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn an_epoch_without_validation_has_no_numbers_of_it() {
    let epoch = Evaluation {
        valid_loss: None,
        is_best: false,
        ..scores(2, &[])
    };
    let text = lines([Event::Evaluation(epoch.clone()), Event::Epoch(epoch)], 1);
    assert_snapshot!(text, @r"
    epoch   step train loss valid loss seconds    tok/s
     1.00      2     0.7500          -    61.3    9,876
    ");
}

#[test]
fn a_stopped_run_says_so() {
    let finish = Finish {
        end: End::Interrupted,
        metric: None,
        best: None,
        seconds: 61.0,
        ..finish(3)
    };
    assert_snapshot!(lines([Event::Finish(finish)], 1), @"interrupted after 3 steps in 1:01 (first step 1.2 s)");
}

#[test]
fn what_goes_wrong_is_told() {
    let skip = Event::Skip(Skip {
        step: 3,
        epoch: 1.5,
        what: "loss".into(),
        value: "NaN".into(),
        rows: vec![4, 7],
        in_a_row: 1,
    });
    let split = Event::Split(Split {
        step: 2,
        batch_size: 8,
        accumulate: 4,
    });
    let checkpoint = Event::Checkpoint(Checkpoint {
        step: 3,
        path: "checkpoints/step-000003".into(),
        bytes: 2_500_000,
        seconds: 0.25,
        hash_seconds: 0.01,
    });
    let events = [Event::Resume(Resume { step: 2 }), split, skip, checkpoint];
    assert_snapshot!(lines(events, 1), @r"
    going on after step 2
    warning: the device ran out of memory: from here on 8 rows a forward pass, 4 passes a step
    warning: step 3 left out, the loss is NaN: rows 4, 7
    checkpoint checkpoints/step-000003 (2.5 MB in 0.2 s)
    ");
}

#[test]
fn a_step_without_update_has_a_row_and_its_evaluation() {
    let skip = Event::Skip(Skip {
        step: 1,
        epoch: 0.5,
        what: "loss".into(),
        value: "NaN".into(),
        rows: vec![4],
        in_a_row: 1,
    });
    let evaluation = Event::Evaluation(scores(1, &METRICS));
    let events = [skip, evaluation, step(2), Event::Finish(finish(2))];
    assert_snapshot!(table(events, &["accuracy"]), @r"
    step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy,learning_rate,grad_norm,tokens,seconds,valid_accuracy
    1,,,0.5,0.875,,,,,0.875
    2,0.5,0.5,,,0.000025,2.5,400,60,
    ");
}

#[test]
fn a_resumed_table_is_that_of_the_whole_run() {
    let mut text = Vec::new();
    let mut sink = MetricsCsv::new(&mut text, &["accuracy"]);
    let events = run();
    let (history, rest) = events.split_at(6);
    sink.replay(history);
    for event in rest {
        sink.emit(event.clone());
    }
    drop(sink);
    assert_eq!(
        String::from_utf8(text).unwrap(),
        table(run(), &["accuracy"])
    );
}

#[test]
fn the_table_has_a_row_for_each_step_and_its_evaluation() {
    assert_snapshot!(table(run(), &["accuracy", "mcc"]), @r"
    step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy,learning_rate,grad_norm,tokens,seconds,valid_accuracy,valid_mcc
    1,1,0.5,,,0.00005,2.5,400,30,,
    2,0.5,0.5,0.5,0.875,0.000025,2.5,400,60,0.875,-0.125
    3,0.3333333333333333,0.5,0.5,0.875,0.000016666666666666667,2.5,400,90,0.875,-0.125
    4,0.25,0.5,0.5,0.875,0.0000125,2.5,400,120,0.875,-0.125
    ");
}

#[test]
fn the_table_of_tags_has_their_token_accuracy() {
    let numbers = [("f1", 0.5), ("token_accuracy", 0.75)];
    let events = [
        step(1),
        Event::Evaluation(scores(1, &numbers)),
        Event::Finish(finish(1)),
    ];
    assert_snapshot!(table(events, &["f1", "token_accuracy"]), @r"
    step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy,learning_rate,grad_norm,tokens,seconds,valid_f1,valid_token_accuracy
    1,1,0.5,0.5,0.75,0.00005,2.5,400,30,0.5,0.75
    ");
}

#[test]
fn what_was_not_measured_is_empty() {
    let Event::Step(mut bare) = step(1) else {
        unreachable!("`step` makes a step")
    };
    bare.accuracy = None;
    let undefined = scores(1, &[("mse", 2.0)]);
    let events = [
        Event::Step(bare),
        Event::Evaluation(undefined),
        Event::Finish(finish(1)),
    ];
    assert_snapshot!(table(events, &["spearman", "mse"]), @r"
    step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy,learning_rate,grad_norm,tokens,seconds,valid_spearman,valid_mse
    1,1,,0.5,,0.00005,2.5,400,30,,2.0
    ");
}

/// A disk with room for so many bytes.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.checked_sub(bytes.len()) {
            Some(room) => {
                self.0 = room;
                Ok(bytes.len())
            }
            None => Err(std::io::ErrorKind::StorageFull.into()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_stops_a_sink_and_not_the_run() {
    let mut sink = MetricsCsv::new(Full(150), &["accuracy"]);
    for event in run() {
        sink.emit(event);
    }
    let failure = sink.failure().expect("the rows need more room");
    assert_eq!(failure.kind(), std::io::ErrorKind::StorageFull);
}
