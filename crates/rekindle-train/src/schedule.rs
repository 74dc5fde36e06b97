//! Learning rate by optimizer step.

use crate::recipe::{ScheduleKind, TrainRecipe};

/// Share of the steps over which `wsd` falls to zero.
const WSD_DECAY: f64 = 0.2;

/// A learning rate for each optimizer step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    kind: ScheduleKind,
    peak: f64,
    warmup: usize,
    total: usize,
}

impl Schedule {
    /// The schedule of a run of `total` optimizer steps, `peak` being its highest rate.
    pub fn new(train: &TrainRecipe, peak: f64, total: usize) -> Self {
        let warmup = if train.warmup < 1.0 {
            (train.warmup * total as f64).ceil() as usize
        } else {
            train.warmup as usize
        };
        Self {
            kind: train.schedule,
            peak,
            warmup: warmup.min(total),
            total,
        }
    }

    /// Steps of warm-up.
    pub fn warmup_steps(&self) -> usize {
        self.warmup
    }

    /// Learning rate of a step counted from 0, as transformers' schedules: `k / w` of the peak in
    /// warm-up, then by `(n - k) / (n - w)`.
    pub fn learning_rate(&self, step: usize) -> f64 {
        self.peak * self.factor(step)
    }

    fn factor(&self, step: usize) -> f64 {
        let (k, w, n) = (step as f64, self.warmup as f64, self.total as f64);
        if step < self.warmup {
            return k / w;
        }
        let left = ((n - k) / (n - w).max(1.0)).clamp(0.0, 1.0);
        match self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Linear => left,
            ScheduleKind::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * (1.0 - left)).cos()),
            ScheduleKind::Wsd => ((n - k) / (n * WSD_DECAY).max(1.0)).clamp(0.0, 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(kind: ScheduleKind, warmup: f64, total: usize) -> Schedule {
        let train = TrainRecipe {
            schedule: kind,
            warmup,
            ..TrainRecipe::default()
        };
        Schedule::new(&train, 1.0, total)
    }

    fn trace(schedule: Schedule) -> Vec<f64> {
        (0..schedule.total)
            .map(|step| schedule.learning_rate(step))
            .collect()
    }

    #[test]
    fn linear_rises_from_zero_and_falls_towards_zero() {
        let trace = trace(schedule(ScheduleKind::Linear, 2.0, 6));
        assert_eq!(trace, [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]);
    }

    #[test]
    fn warmup_below_one_is_a_fraction_of_the_steps() {
        // transformers rounds the product up.
        assert_eq!(schedule(ScheduleKind::Linear, 0.06, 125).warmup_steps(), 8);
        assert_eq!(schedule(ScheduleKind::Linear, 10.0, 125).warmup_steps(), 10);
        assert_eq!(schedule(ScheduleKind::Linear, 10.0, 4).warmup_steps(), 4);
    }

    #[test]
    fn cosine_is_at_half_in_the_middle() {
        let trace = trace(schedule(ScheduleKind::Cosine, 0.0, 4));
        let expected = [1.0, 0.853_553_390_593_273_7, 0.5, 0.146_446_609_406_726_24];
        for (found, expected) in trace.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn constant_stays_after_warmup_and_wsd_falls_at_the_end() {
        assert_eq!(
            trace(schedule(ScheduleKind::Constant, 1.0, 3)),
            [0.0, 1.0, 1.0]
        );
        let wsd = trace(schedule(ScheduleKind::Wsd, 2.0, 10));
        assert_eq!(wsd, [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5]);
    }
}
