//! Recipes: what they say when nothing is said, what each key does, and what wrong ones get.

use std::path::Path;

use insta::assert_snapshot;
use rekindle_train::recipe::{Every, MethodKind, Recipe, RecipeError, set};
use toml::{Table, Value};

/// Every key with a value that is not its default.
const FULL: &str = r#"
[model]
base = "org/name"
task = "tag"
dropout = 0.25
gradient_checkpointing = true

[method]
kind = "lora"
layers = 5
layer_decay = 0.9
rank = 4
alpha = 8.0
dropout = 0.5
targets = ["query", "value"]
rslora = true
modules_to_save = ["pooler"]

[data]
train = ["a.jsonl", "b.csv"]
valid = "v.jsonl"
valid_fraction = 0.2
max_length = 64
truncation = "left"
prompt_loss_weight = 0.5
batching = "shuffled"
pack = true

[train]
epochs = 7
max_steps = 11
batch_size = 5
accumulate = 3
learning_rate = 0.002
schedule = "wsd"
warmup = 12.0
weight_decay = 0.5
max_grad_norm = 0.0
seed = 9
evaluate_every = 13
log_every = 4
samples = ["Once"]

[mask]
probability = 0.3
whole_word = true

[checkpoint]
save_every = 50
keep_last = 3
keep_best = false
metric = "loss"
patience = 4

[run]
output = "there"
backend = "flex"
dtype = "bf16"
"#;

fn parse(text: &str) -> Result<Recipe, RecipeError> {
    Recipe::from_table(&text.parse().expect("the test writes TOML"))
}

fn refusal(text: &str) -> String {
    let error = parse(text).expect_err("the recipe is refused");
    format!("{error}\n{}", error.hint().unwrap_or_default())
}

/// Every key of a recipe with its value, by dotted name.
fn leaves(recipe: &Recipe) -> Vec<(String, Value)> {
    let table = Table::try_from(recipe).unwrap();
    let sections = table.into_iter().map(|(name, values)| match values {
        Value::Table(values) => (name, values),
        other => panic!("`{name}` is a table, not {other}"),
    });
    sections
        .flat_map(|(section, values)| {
            let dotted = move |(key, value)| (format!("{section}.{key}"), value);
            values.into_iter().map(dotted)
        })
        .collect()
}

#[test]
fn an_empty_recipe_is_the_default() {
    assert_eq!(parse("").unwrap(), Recipe::default());
}

#[test]
fn the_default_is_printed_completely() {
    let text = toml::to_string(&Recipe::default()).unwrap();
    assert_eq!(parse(&text).unwrap(), Recipe::default());
    assert_snapshot!(text);
}

#[test]
fn every_key_is_read_and_printed() {
    let recipe = parse(FULL).unwrap();
    let printed = leaves(&recipe);
    let default = leaves(&Recipe::default());
    for (key, value) in &printed {
        // A learning rate of one's own excludes the multiplier.
        let is_changed = !default.contains(&(key.clone(), value.clone()));
        assert_eq!(
            is_changed,
            key != "train.learning_rate_multiplier",
            "`{key}`"
        );
    }
    assert_eq!(parse(&toml::to_string(&recipe).unwrap()).unwrap(), recipe);
    let scaled = parse("[train]\nlearning_rate_multiplier = 3.0").unwrap();
    assert_eq!(scaled.train.learning_rate_multiplier, 3.0);
}

#[test]
fn every_key_can_be_set_alone() {
    let full: Table = FULL.parse().unwrap();
    let mut built = Table::new();
    for (key, value) in leaves(&parse(FULL).unwrap()) {
        if key != "train.learning_rate_multiplier" {
            set(&mut built, &format!("{key}={value}")).unwrap();
        }
    }
    assert_eq!(built, full);
}

#[test]
fn the_learning_rate_is_the_methods_default_times_the_multiplier() {
    let peak = |text: &str| {
        let recipe = parse(text).unwrap();
        recipe.peak_learning_rate()
    };
    assert_eq!(peak(""), 5e-5);
    assert_eq!(peak("[method]\nkind = \"head\""), 1e-3);
    assert_eq!(peak("[method]\nkind = \"lora\""), 2e-4);
    assert_eq!(peak("[model]\ntask = \"generate\""), 2e-5);
    assert_eq!(peak("[train]\nlearning_rate_multiplier = 2.0"), 1e-4);
    assert_eq!(peak("[train]\nlearning_rate = 0.5"), 0.5);
}

#[test]
fn values_are_toml_or_else_text() {
    let mut table = Table::new();
    for pair in [
        "train.warmup = 100",
        "run.output=a b",
        "data.train=[\"x\"]",
        "method.kind=head",
    ] {
        set(&mut table, pair).unwrap();
    }
    let recipe = Recipe::from_table(&table).unwrap();
    assert_eq!(recipe.train.warmup, 100.0);
    assert_eq!(recipe.run.output, "a b");
    assert_eq!(recipe.data.train, [Path::new("x")]);
    assert_eq!(recipe.method.kind, MethodKind::Head);
}

#[test]
fn evaluations_come_by_steps_or_by_epochs() {
    let every = |value: &str| {
        parse(&format!("[train]\nevaluate_every = {value}"))
            .unwrap()
            .train
    };
    assert_eq!(every("5").evaluate_every, Every::Steps(5));
    assert_eq!(every("\"epoch\""), Recipe::default().train);
}

#[test]
fn unknown_keys_are_told_with_the_nearest_one() {
    let nearest = |text: &str| {
        let error = parse(text).expect_err("the key is unknown");
        let RecipeError::UnknownKey { key, nearest, .. } = error else {
            panic!("another error: {error}")
        };
        (key, nearest)
    };
    for (text, key, expected) in [
        ("[train]\nepoch = 1", "train.epoch", Some("train.epochs")),
        (
            "[train]\nbatchsize = 1",
            "train.batchsize",
            Some("train.batch_size"),
        ),
        ("[train]\nlr = 1", "train.lr", None),
        (
            "[train]\nmax_length = 1",
            "train.max_length",
            Some("data.max_length"),
        ),
        ("epochs = 1", "epochs", Some("train.epochs")),
        ("[trian]\nepochs = 1", "trian", Some("train")),
        ("[lora]\nrank = 8", "lora", Some("method.rslora")),
        ("[run]\ncolor = 1", "run.color", None),
    ] {
        assert_eq!(
            nearest(text),
            (key.to_owned(), expected.map(str::to_owned)),
            "{text}"
        );
    }
}

#[test]
fn an_unknown_key_without_a_near_one_gets_the_known_ones() {
    assert_snapshot!(refusal("[run]\ncolor = 1"), @r"
    unknown recipe key `run.color`
    known here: output, backend, dtype
    ");
}

#[test]
fn values_of_another_type_name_their_key() {
    for (text, expected) in [
        (
            "[train]\nepochs = \"two\"",
            "recipe key `train.epochs` must be a whole number, 0 or above: \"two\"\nleave it out for the default",
        ),
        (
            "[train]\nepochs = 1.5",
            "recipe key `train.epochs` must be a whole number, 0 or above: 1.5\nleave it out for the default",
        ),
        (
            "[train]\nseed = -1",
            "recipe key `train.seed` must be a whole number, 0 or above: -1\nthe default is `42`",
        ),
        (
            "[train]\nwarmup = []",
            "recipe key `train.warmup` must be a number: []\nthe default is `0.06`",
        ),
        (
            "[checkpoint]\nkeep_best = 1",
            "recipe key `checkpoint.keep_best` must be true or false: 1\nthe default is `true`",
        ),
        (
            "[checkpoint]\nkeep_last = 0",
            "recipe key `checkpoint.keep_last` must be at least 1: 0\nthe default is `2`",
        ),
        (
            "[data]\ntrain = \"a\"",
            "recipe key `data.train` must be a list: \"a\"\nthe default is `[]`",
        ),
        (
            "[data]\nvalid = 1",
            "recipe key `data.valid` must be a path: 1\nleave it out for the default",
        ),
        (
            "train = 1",
            "recipe key `train` must be a table: 1\nwrite `[train]`, and below it `key = value`",
        ),
    ] {
        assert_eq!(refusal(text), expected, "{text}");
    }
}

#[test]
fn numbers_outside_their_range_name_their_key() {
    for (pair, expected) in [
        ("model.dropout=1.0", "in [0, 1)"),
        ("model.dropout=-0.1", "in [0, 1)"),
        ("method.layers=0", "at least 1"),
        ("method.layer_decay=0.0", "in (0, 1]"),
        ("method.layer_decay=1.1", "in (0, 1]"),
        ("method.rank=0", "at least 1"),
        ("method.alpha=0.0", "above 0"),
        ("method.dropout=1.0", "in [0, 1)"),
        ("method.targets=[]", "at least one name"),
        ("method.modules_to_save=[\"\"]", "names"),
        ("data.valid_fraction=1.0", "in [0, 1)"),
        ("data.max_length=2", "at least 3"),
        ("train.epochs=0", "at least 1"),
        ("train.batch_size=0", "at least 1"),
        ("train.accumulate=0", "at least 1"),
        ("train.learning_rate=0.0", "above 0"),
        ("train.learning_rate=inf", "above 0"),
        ("train.learning_rate=nan", "above 0"),
        ("train.learning_rate_multiplier=-1.0", "above 0"),
        ("train.warmup=-1.0", "0 or above"),
        ("train.weight_decay=-0.1", "0 or above"),
        ("train.max_grad_norm=-1.0", "0 or above"),
        ("train.evaluate_every=0", "at least 1"),
        ("train.log_every=0", "at least 1"),
        ("mask.probability=0.0", "in (0, 1]"),
        ("mask.probability=1.5", "in (0, 1]"),
    ] {
        let mut table = Table::new();
        if !pair.starts_with("method.layer") && pair.starts_with("method.") {
            set(&mut table, "method.kind=lora").unwrap();
        }
        set(&mut table, pair).unwrap();
        let error = Recipe::from_table(&table).expect_err(pair).to_string();
        let key = pair.split('=').next().unwrap();
        let beginning = format!("recipe key `{key}` must be {expected}: ");
        assert!(error.starts_with(&beginning), "{pair}: {error}");
    }
    // Steps make epochs needless.
    assert!(parse("[train]\nepochs = 0\nmax_steps = 5").is_ok());
}

#[test]
fn keys_of_lora_are_for_lora_alone() {
    assert_snapshot!(refusal("[method]\nrank = 8"), @r#"
    recipe key `method.rank` is for `method.kind = "lora"` alone
    add `--method lora`, or leave the key out
    "#);
    for key in [
        "alpha=1",
        "dropout=0.1",
        "targets=x",
        "rslora=true",
        "modules_to_save=[]",
    ] {
        let mut table = Table::new();
        set(&mut table, "method.kind=head").unwrap();
        set(&mut table, &format!("method.{key}")).unwrap();
        assert!(Recipe::from_table(&table).is_err(), "{key}");
        set(&mut table, "method.kind=lora").unwrap();
        assert!(Recipe::from_table(&table).is_ok(), "{key}");
    }
}

#[test]
fn keys_of_lora_have_defaults_that_can_be_printed() {
    let mut recipe = parse("[method]\nkind = \"lora\"\nrank = 4").unwrap();
    recipe.method.set_lora(recipe.method.lora());
    assert_snapshot!(toml::to_string(&recipe.method).unwrap(), @r#"
    kind = "lora"
    layers = 2
    layer_decay = 1.0
    rank = 4
    alpha = 16.0
    dropout = 0.05
    targets = "all-linear"
    rslora = false
    modules_to_save = []
    "#);
    assert_eq!(parse(&toml::to_string(&recipe).unwrap()).unwrap(), recipe);
}

#[test]
fn targets_are_a_pattern_or_names() {
    assert_snapshot!(refusal("[method]\nkind = \"lora\"\ntargets = 3"), @r#"
    recipe key `method.targets` must be `"all-linear"`, a pattern, or a list of module names: 3
    leave it out for the default
    "#);
    assert_snapshot!(refusal("[method]\nkind = \"lora\"\ntargets = \"(\""), @r"
    recipe key `method.targets` cannot be used
    one string is `all-linear` or a pattern; names are a list
    ");
}

#[test]
fn two_learning_rates_exclude_each_other() {
    let text = "[train]\nlearning_rate = 1e-4\nlearning_rate_multiplier = 2.0";
    assert!(matches!(parse(text), Err(RecipeError::TwoLearningRates)));
    // The recipe of a run has the final rate, and 1.
    let resolved = "[train]\nlearning_rate = 1e-4\nlearning_rate_multiplier = 1.0";
    assert_eq!(parse(resolved).unwrap().train.learning_rate, Some(1e-4));
}

#[test]
fn a_file_that_is_not_there_is_an_error_with_its_path() {
    let error = Recipe::table(Path::new("no/such.toml")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read recipe `no/such.toml`");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn a_model_from_scratch_has_a_configuration_in_place_of_a_base() {
    let recipe = parse("[model]\nconfig = \"tiny.json\"\ntokenizer = \"words\"").unwrap();
    assert_eq!(recipe.model.source(), "tiny.json");
    assert_eq!(recipe.model.base, "");
    assert_snapshot!(toml::to_string(&recipe.model).unwrap(), @r#"
    config = "tiny.json"
    tokenizer = "words"
    gradient_checkpointing = false
    "#);
    assert_eq!(parse(&toml::to_string(&recipe).unwrap()).unwrap(), recipe);
    assert_snapshot!(refusal("[model]\nconfig = \"tiny.json\"\nbase = \"org/name\""), @r"
    `model.base` and `model.config` are both set
    `base` is a model to start from (`--model`), `config` makes one with random weights; give one of the two
    ");
    assert_snapshot!(refusal("[model]\nconfig = \"c\"\n[data]\ngeneral = \"g.txt\""), @r"
    `data.general` measures what a base forgets, and with `model.config` there is none
    leave the key out; `data.valid` takes a file to judge the model by
    ");
    assert_snapshot!(refusal("[model]\ntokenizer = \"words\""), @r"
    recipe key `model.tokenizer` is for `model.config` alone
    a base has its own tokenizer; leave the key out, or give `model.config` in place of the base
    ");
}

#[test]
fn all_weights_of_a_model_from_scratch_learn() {
    for method in ["head", "last-layers", "lora"] {
        let text = format!("[model]\nconfig = \"c\"\n[method]\nkind = \"{method}\"");
        let error = parse(&text).expect_err(method);
        assert!(matches!(error, RecipeError::RandomBody { method: named } if named == method));
    }
    assert_snapshot!(refusal("[model]\nconfig = \"c\"\n[method]\nkind = \"lora\""), @r#"
    `method.kind = "lora"` trains a part of a model, and with `model.config` all of it is random
    leave the method out: frozen random weights teach nothing, so all of them must learn
    "#);
}
