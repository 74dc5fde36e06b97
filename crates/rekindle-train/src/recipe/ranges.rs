//! The values that a recipe's numbers can have.

use super::{
    CheckpointRecipe, DataRecipe, Every, LoraRecipe, MaskRecipe, MethodRecipe, ModelRecipe, Recipe,
    RecipeError, TargetsRecipe, TrainRecipe,
};

/// Refuses the first number outside its range.
pub(super) fn check(recipe: &Recipe) -> Result<(), RecipeError> {
    let Recipe {
        model,
        method,
        data,
        train,
        mask,
        distill: _,
        checkpoint,
        run: _,
    } = recipe;
    let rules = [
        rules_of_model(model, method),
        rules_of_lora(method),
        rules_of_data(data),
        rules_of_train(train),
        rules_of_mask(*mask),
        rules_of_checkpoint(checkpoint),
    ];
    for (is_good, key, expected, found) in rules.into_iter().flatten() {
        if !is_good {
            return Err(RecipeError::Range {
                key,
                expected,
                found,
            });
        }
    }
    Ok(())
}

/// Whether a value is allowed, its key, what is allowed, and the value.
type Rule = (bool, &'static str, &'static str, String);

fn rules_of_model(model: &ModelRecipe, method: &MethodRecipe) -> Vec<Rule> {
    let dropout = model.dropout.unwrap_or(0.0);
    let decay = method.layer_decay;
    vec![
        (
            (0.0..1.0).contains(&dropout),
            "model.dropout",
            "in [0, 1)",
            dropout.to_string(),
        ),
        at_least_one("method.layers", method.layers),
        (
            decay > 0.0 && decay <= 1.0,
            "method.layer_decay",
            "in (0, 1]",
            decay.to_string(),
        ),
    ]
}

fn rules_of_lora(method: &MethodRecipe) -> Vec<Rule> {
    let LoraRecipe {
        rank,
        alpha,
        dropout,
        targets,
        rslora: _,
        modules_to_save,
    } = method.lora();
    let is_empty = matches!(&targets, TargetsRecipe::Names(names) if names.is_empty());
    let blank = modules_to_save.iter().any(String::is_empty);
    vec![
        at_least_one("method.rank", rank),
        above_zero("method.alpha", alpha),
        (
            (0.0..1.0).contains(&dropout),
            "method.dropout",
            "in [0, 1)",
            dropout.to_string(),
        ),
        (
            !is_empty,
            "method.targets",
            "at least one name",
            "[]".to_owned(),
        ),
        (
            !blank,
            "method.modules_to_save",
            "names",
            format!("{modules_to_save:?}"),
        ),
    ]
}

fn rules_of_data(data: &DataRecipe) -> Vec<Rule> {
    /// A token between two special ones.
    const SHORTEST: usize = 3;
    let fraction = data.valid_fraction;
    let length = data.max_length.unwrap_or(usize::MAX);
    vec![
        (
            (0.0..1.0).contains(&fraction),
            "data.valid_fraction",
            "in [0, 1)",
            fraction.to_string(),
        ),
        (
            length >= SHORTEST,
            "data.max_length",
            "at least 3",
            length.to_string(),
        ),
        (
            (0.0..=1.0).contains(&data.prompt_loss_weight),
            "data.prompt_loss_weight",
            "in [0, 1]",
            data.prompt_loss_weight.to_string(),
        ),
    ]
}

fn rules_of_train(train: &TrainRecipe) -> Vec<Rule> {
    let interval = match train.evaluate_every {
        Every::Steps(steps) => steps,
        Every::Epoch(_) => 1,
    };
    vec![
        at_least_one(
            "train.epochs",
            train.epochs.unwrap_or(1).max(train.max_steps),
        ),
        at_least_one("train.batch_size", train.batch_size),
        at_least_one("train.accumulate", train.accumulate),
        above_zero("train.learning_rate", train.learning_rate.unwrap_or(1.0)),
        above_zero(
            "train.learning_rate_multiplier",
            train.learning_rate_multiplier,
        ),
        not_negative("train.warmup", train.warmup),
        not_negative("train.weight_decay", train.weight_decay),
        not_negative("train.max_grad_norm", train.max_grad_norm),
        at_least_one("train.evaluate_every", interval),
        at_least_one("train.log_every", train.log_every),
    ]
}

fn rules_of_mask(mask: MaskRecipe) -> Vec<Rule> {
    let MaskRecipe {
        probability,
        whole_word: _,
    } = mask;
    let probability = probability.unwrap_or(1.0);
    vec![(
        probability > 0.0 && probability <= 1.0,
        "mask.probability",
        "in (0, 1]",
        probability.to_string(),
    )]
}

fn rules_of_checkpoint(checkpoint: &CheckpointRecipe) -> Vec<Rule> {
    vec![at_least_one("checkpoint.keep_last", checkpoint.keep_last)]
}

fn at_least_one(key: &'static str, value: usize) -> Rule {
    (value > 0, key, "at least 1", value.to_string())
}

fn above_zero(key: &'static str, value: f64) -> Rule {
    (
        value.is_finite() && value > 0.0,
        key,
        "above 0",
        value.to_string(),
    )
}

fn not_negative(key: &'static str, value: f64) -> Rule {
    (
        value.is_finite() && value >= 0.0,
        key,
        "0 or above",
        value.to_string(),
    )
}
