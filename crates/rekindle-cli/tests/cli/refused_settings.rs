//! What wrong flags, recipes and backends get: exit code 2, a message that tells what to do, nothing written.

use insta::assert_snapshot;

use crate::refusals::sound;

/// Training with more flags.
fn refusal(flags: &[&str]) -> String {
    let always = ["--model", "base", "--data", "train.jsonl"];
    sound().refused_training(&[&always, flags].concat())
}

/// Training by a recipe of this text.
fn refused_recipe(text: &str) -> String {
    let place = sound();
    place.write("recipe.toml", text);
    place.refused_training(&["recipe.toml"])
}

#[test]
fn a_batch_of_no_rows() {
    assert_snapshot!(refusal(&["--batch-size", "0"]), @r"
    error: recipe key `train.batch_size` must be at least 1: 0
    hint: the default is `16`
    ");
}

#[test]
fn a_number_that_is_none() {
    assert_snapshot!(refusal(&["--batch-size", "many"]), @r#"
    error: recipe key `train.batch_size` must be a whole number, 0 or above: "many"
    hint: the default is `16`
    "#);
    assert_snapshot!(refusal(&["--seed", "-1"]), @r"
    error: recipe key `train.seed` must be a whole number, 0 or above: -1
    hint: the default is `42`
    ");
    assert_snapshot!(refusal(&["--set", "train.warmup=soon"]), @r#"
    error: recipe key `train.warmup` must be a number: "soon"
    hint: the default is `0.06`
    "#);
    assert_snapshot!(refusal(&["--set", "train.evaluate_every=often"]), @r#"
    error: recipe key `train.evaluate_every` must be `"epoch"` or a number of steps: "often"
    hint: the default is `"epoch"`
    "#);
}

#[test]
fn rows_longer_than_the_model_reads() {
    assert_snapshot!(refusal(&["--max-length", "100"]), @r"
    error: `max_length` is 100, and the model reads at most 24 tokens
    hint: give `--max-length 24` or less
    ");
}

#[test]
fn an_unknown_metric() {
    assert_snapshot!(refusal(&["--set", "checkpoint.metric=acuracy"]), @r"
    error: unknown metric `acuracy`
    hint: one of: auto, loss, accuracy, macro_f1, micro_f1, mcc
    ");
}

#[test]
fn an_unknown_task_or_method() {
    assert_snapshot!(refusal(&["--task", "clasify"]), @r#"
    error: recipe key `model.task` must be one of `classify`, `multi-label`, `regress`, `tag`, `generate`, `mask`, `distill`: "clasify"
    hint: leave it out for the default
    "#);
    assert_snapshot!(refusal(&["--method", "tail"]), @r#"
    error: recipe key `method.kind` must be one of `full`, `head`, `last-layers`, `lora`: "tail"
    hint: the default is `"full"`
    "#);
}

#[test]
fn an_unknown_key_in_a_recipe() {
    assert_snapshot!(refused_recipe("[train]\nepoch = 2\n"), @r"
    error: unknown recipe key `train.epoch`
    hint: did you mean `train.epochs`?
    ");
}

#[test]
fn a_key_without_its_table() {
    assert_snapshot!(refused_recipe("epochs = 2\n"), @r"
    error: unknown recipe key `epochs`
    hint: did you mean `train.epochs`?
    ");
}

#[test]
fn a_key_that_is_near_to_none() {
    assert_snapshot!(refused_recipe("[run]\ncolour = 2\n"), @r"
    error: unknown recipe key `run.colour`
    hint: known here: output, backend, dtype
    ");
}

#[test]
fn a_table_that_is_none() {
    assert_snapshot!(refused_recipe("train = 3\n"), @r"
    error: recipe key `train` must be a table: 3
    hint: write `[train]`, and below it `key = value`
    ");
}

#[test]
fn a_recipe_that_is_not_toml() {
    assert_snapshot!(refused_recipe("[train\nepochs = 2\n"), @r"
    error: recipe `recipe.toml` is not valid TOML: TOML parse error at line 1, column 7
      |
    1 | [train
      |       ^
    unclosed table, expected `]`
    hint: write `[table]`, and below it `key = value`
    ");
}

#[test]
fn a_recipe_that_is_not_there() {
    let place = sound();
    assert_snapshot!(place.refused_training(&["recipe.toml"]), @r"
    error: cannot read recipe `recipe.toml`: No such file or directory (os error 2)
    hint: give the path of a TOML file, or none for the defaults
    ");
    assert_snapshot!(place.refused_training(&["base"]), @r"
    error: cannot read recipe `base`: Is a directory (os error 21)
    hint: give the file in it: `base/recipe.toml`
    ");
}

#[test]
fn an_unknown_key_in_set() {
    assert_snapshot!(refusal(&["--set", "train.warmpu=1"]), @r"
    error: unknown recipe key `train.warmpu`
    hint: did you mean `train.warmup`?
    ");
    assert_snapshot!(refusal(&["--set", "train.warmup"]), @r"
    error: not of the form `key=value`: `train.warmup`
    hint: for example `--set train.warmup=100`
    ");
}

#[test]
fn two_learning_rates() {
    let flags = ["--learning-rate", "1e-3", "--learning-rate-multiplier", "2"];
    assert_snapshot!(refusal(&flags), @r"
    error: the argument '--learning-rate <X>' cannot be used with '--learning-rate-multiplier <X>'

    Usage: rekindle train --backend <NAME> --output <DIR> --model <ID|DIR> --data <FILE> --learning-rate <X> [RECIPE|RUN]

    For more information, try '--help'.
    ");
    let set = [
        "--learning-rate",
        "1e-3",
        "--set",
        "train.learning_rate_multiplier=2",
    ];
    assert_snapshot!(refusal(&set), @r"
    error: `train.learning_rate` and `train.learning_rate_multiplier` exclude each other
    hint: the multiplier scales the method's default rate; give one of the two
    ");
}

#[test]
fn no_rows_to_answer() {
    assert_snapshot!(sound().refusal(&["predict", "--model", "base"]), @r"
    error: the following required arguments were not provided:
      <--input <FILE|->|--text <TEXT>>

    Usage: rekindle predict --model <ID|DIR> <--input <FILE|->|--text <TEXT>>

    For more information, try '--help'.
    ");
}

#[test]
fn an_unknown_backend() {
    let place = sound();
    let text = place.refusal(&[
        "predict",
        "--model",
        "base",
        "--text",
        "a",
        "--backend",
        "gpu",
    ]);
    assert!(
        text.starts_with("error: unknown backend `gpu`\nhint: one of: `auto`, `"),
        "{text}"
    );
}

#[test]
fn a_backend_that_is_not_in_the_build() {
    let place = sound();
    let arguments = ["train", "--output", "run", "--backend", "rocm"];
    let data = ["--model", "base", "--data", "train.jsonl"];
    let text = place.refusal(&[&arguments[..], &data].concat());
    assert!(
        text.starts_with(
            "error: backend `rocm` is not in this build\n\
             hint: rebuild with `--features rocm`, or use one of: `"
        ),
        "{text}"
    );
}
