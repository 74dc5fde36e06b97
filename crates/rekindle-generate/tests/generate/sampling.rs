//! Probabilities of the next token against transformers: `sampling_reference.py` wrote the numbers.

use rekindle_generate::Sampling;
use serde::Deserialize;

/// The file has 7 digits of numbers that were computed in f32.
const TOLERANCE: f64 = 2e-6;

const FIXTURE: &str = include_str!("../fixtures/sampling.json");

#[derive(Deserialize)]
struct Case {
    logits: Vec<f32>,
    ids: Vec<u32>,
    settings: Settings,
    probabilities: Vec<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    temperature: f64,
    top_k: Option<usize>,
    top_p: Option<f64>,
    repetition_penalty: Option<f64>,
}

#[test]
fn probabilities_are_those_of_transformers() {
    let cases: Vec<Case> = serde_json::from_str(FIXTURE).unwrap();
    assert!(cases.len() >= 100, "{} cases", cases.len());
    for (number, case) in cases.into_iter().enumerate() {
        let sampling = Sampling {
            temperature: case.settings.temperature,
            top_k: case.settings.top_k,
            top_p: case.settings.top_p,
            repetition_penalty: case.settings.repetition_penalty.unwrap_or(1.0),
            seed: 0,
        };
        assert_eq!(sampling.check(), Ok(()));
        let mut found = vec![0.0; case.logits.len()];
        for candidate in sampling.distribution(case.logits, &case.ids) {
            assert!(candidate.probability > 0.0, "case {number}");
            found[candidate.id as usize] = candidate.probability;
        }
        for (id, (expected, found)) in case.probabilities.iter().zip(&found).enumerate() {
            assert!(
                (expected - found).abs() <= TOLERANCE,
                "case {number}, token {id}: expected {expected}, found {found}"
            );
        }
    }
}
