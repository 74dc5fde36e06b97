//! Which token comes next.
//!
//! The settings and the order in which they act are those of transformers' `generate`, checked in
//! `tests/generate/sampling.rs`: repetition penalty, temperature, top-k, top-p. What is drawn is our own: a pure
//! function of (seed, row, position).

use rekindle_nn::uniform;

use crate::GenerateError;

/// How a token is chosen among the likely ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits: below 1 likely tokens become likelier. 0 always takes the likeliest, of several
    /// the one with the lowest id.
    pub temperature: f64,
    /// Only so many of the likeliest tokens are drawn from, and those that are as likely as the last one.
    pub top_k: Option<usize>,
    /// Only the likeliest tokens that together reach this probability are drawn from; at least one.
    pub top_p: Option<f64>,
    /// Makes tokens of the prompt and of the answer so far less likely (Keskar et al., 2019); 1: not.
    pub repetition_penalty: f64,
    /// Key of the draws.
    pub seed: u64,
}

/// A token that may come next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The token.
    pub id: u32,
    /// How likely it is drawn.
    pub probability: f64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: None,
            top_p: None,
            repetition_penalty: 1.0,
            seed: 42,
        }
    }
}

impl Sampling {
    /// Whether all settings are in their ranges, and none is without effect.
    pub fn check(&self) -> Result<(), GenerateError> {
        let is_positive = |value: f64| value.is_finite() && value > 0.0;
        let setting = |name, value, expected| {
            Err(GenerateError::Setting {
                name,
                value,
                expected,
            })
        };
        if self.temperature != 0.0 && !is_positive(self.temperature) {
            return setting("temperature", self.temperature, "0 or more");
        }
        if !is_positive(self.repetition_penalty) {
            let expected = "more than 0, 1 for none";
            return setting("repetition_penalty", self.repetition_penalty, expected);
        }
        if self.top_k == Some(0) {
            return setting("top_k", 0.0, "1 or more");
        }
        if let Some(top_p) = self.top_p
            && !(is_positive(top_p) && top_p <= 1.0)
        {
            return setting("top_p", top_p, "more than 0 and at most 1");
        }
        let without_effect = [
            ("top_k", self.top_k.is_some()),
            ("top_p", self.top_p.is_some()),
        ];
        match without_effect.into_iter().find(|(_, is_set)| *is_set) {
            Some((name, _)) if self.temperature == 0.0 => Err(GenerateError::Greedy { name }),
            _ => Ok(()),
        }
    }

    /// The token after `ids`, of the row with this number.
    pub(crate) fn choose(
        &self,
        mut logits: Vec<f32>,
        ids: &[u32],
        row: u64,
    ) -> Result<u32, GenerateError> {
        if logits
            .iter()
            .any(|logit| logit.is_nan() || *logit == f32::INFINITY)
        {
            return Err(GenerateError::NotFinite);
        }
        self.penalize(&mut logits, ids);
        if self.temperature == 0.0 {
            return Ok(likeliest(&logits));
        }
        let candidates = self.candidates(logits);
        let mut left = uniform(self.seed, [row, ids.len() as u64]);
        let drawn = candidates.iter().find(|candidate| {
            left -= candidate.probability;
            left < 0.0
        });
        // Rounding may leave a rest behind the last one.
        let drawn = drawn.or(candidates.last());
        Ok(drawn.expect("one candidate is always kept").id)
    }

    /// Tokens that may come after `ids`, the likeliest first, at a temperature above 0.
    pub fn distribution(&self, mut logits: Vec<f32>, ids: &[u32]) -> Vec<Candidate> {
        self.penalize(&mut logits, ids);
        self.candidates(logits)
    }

    fn penalize(&self, logits: &mut [f32], ids: &[u32]) {
        if self.repetition_penalty == 1.0 {
            return;
        }
        let penalty = self.repetition_penalty as f32;
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let logit = &mut logits[id as usize];
            *logit = if *logit < 0.0 {
                *logit * penalty
            } else {
                *logit / penalty
            };
        }
    }

    fn candidates(&self, logits: Vec<f32>) -> Vec<Candidate> {
        let temperature = self.temperature as f32;
        let logits = logits.into_iter().map(|logit| logit / temperature);
        let mut scores: Vec<(u32, f32)> = (0..).zip(logits).collect();
        if let Some(top_k) = self.top_k.filter(|&top_k| top_k < scores.len()) {
            let (_, &mut (_, least), _) =
                scores.select_nth_unstable_by(top_k - 1, |a, b| b.1.total_cmp(&a.1));
            scores.retain(|(_, score)| *score >= least);
        }
        scores.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let mut candidates = probabilities(&scores);
        if let Some(top_p) = self.top_p {
            let mut reached = 0.0;
            let kept = candidates.iter().take_while(|candidate| {
                let is_kept = reached < top_p;
                reached += candidate.probability;
                is_kept
            });
            let kept = kept.count().max(1);
            candidates.truncate(kept);
            let sum: f64 = candidates.iter().map(|c| c.probability).sum();
            for candidate in &mut candidates {
                candidate.probability /= sum;
            }
        }
        candidates
    }
}

/// The softmax of scores, the highest of which is the first.
fn probabilities(scores: &[(u32, f32)]) -> Vec<Candidate> {
    let highest = f64::from(scores[0].1);
    let mut candidates: Vec<Candidate> = scores
        .iter()
        .map(|&(id, score)| Candidate {
            id,
            probability: (f64::from(score) - highest).exp(),
        })
        .collect();
    let sum: f64 = candidates.iter().map(|c| c.probability).sum();
    for candidate in &mut candidates {
        candidate.probability /= sum;
    }
    candidates
}

fn likeliest(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = id;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_logits_is_taken() {
        let greedy = Sampling::default();
        assert_eq!(greedy.choose(vec![1.0, 3.0, 3.0], &[0], 0), Ok(1));
    }

    #[test]
    fn draws_follow_the_probabilities_and_the_seed() {
        let sampling = |seed| Sampling {
            temperature: 1.0,
            seed,
            ..Sampling::default()
        };
        // Probabilities of 1/2, 1/3 and 1/6.
        let logits: Vec<f32> = [3.0_f32, 2.0, 1.0].map(f32::ln).to_vec();
        let draws = |seed| -> Vec<u32> {
            (0..6000)
                .map(|row| sampling(seed).choose(logits.clone(), &[1, 2], row).unwrap())
                .collect()
        };
        let first = draws(1);
        for (id, expected) in [(0, 3000.0), (1, 2000.0), (2, 1000.0)] {
            let count = first.iter().filter(|&&drawn| drawn == id).count() as f64;
            // Four standard deviations of the middle one.
            assert!((count - expected).abs() < 150.0, "{id}: {count}");
        }
        assert_eq!(first, draws(1));
        assert_ne!(first, draws(2));
    }

    #[test]
    fn a_position_draws_for_itself() {
        let sampling = Sampling {
            temperature: 1.0,
            ..Sampling::default()
        };
        let at = |position: usize| {
            let ids = vec![0; position];
            sampling.choose(vec![0.0; 1000], &ids, 0).unwrap()
        };
        assert_eq!(at(5), at(5));
        assert_ne!(at(5), at(6));
    }

    #[test]
    fn logits_that_are_no_numbers_are_refused() {
        for bad in [f32::NAN, f32::INFINITY] {
            let chosen = Sampling::default().choose(vec![0.0, bad], &[0], 0);
            assert_eq!(chosen, Err(GenerateError::NotFinite));
        }
        let masked = Sampling::default().choose(vec![f32::NEG_INFINITY, 0.0], &[0], 0);
        assert_eq!(masked, Ok(1));
    }

    fn refusal(sampling: Sampling) -> String {
        sampling.check().unwrap_err().to_string()
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let base = Sampling {
            temperature: 1.0,
            ..Sampling::default()
        };
        assert_eq!(base.check(), Ok(()));
        let cold = Sampling {
            temperature: -1.0,
            ..base
        };
        assert_eq!(refusal(cold), "`temperature` is -1, expected 0 or more");
        let top_k = Some(0);
        assert_eq!(
            refusal(Sampling { top_k, ..base }),
            "`top_k` is 0, expected 1 or more"
        );
        for top_p in [0.0, 1.5, f64::NAN] {
            let top_p = Some(top_p);
            assert!(refusal(Sampling { top_p, ..base }).contains("more than 0 and at most 1"));
        }
        let repetition_penalty = 0.0;
        let penalized = Sampling {
            repetition_penalty,
            ..base
        };
        assert!(refusal(penalized).contains("more than 0, 1 for none"));
    }

    #[test]
    fn a_setting_without_effect_is_refused() {
        let sampling = Sampling {
            top_p: Some(0.9),
            ..Sampling::default()
        };
        assert_eq!(
            refusal(sampling),
            "`top_p` has no effect at temperature 0, which always takes the likeliest token"
        );
    }
}
