//! How long a run takes: so far, and still.

/// The newest step weighs at least this much in the pace, so that it follows a change.
const NEWEST: f64 = 0.05;

/// Times are in seconds since the dashboard began.
#[derive(Debug, Default)]
pub(super) struct Clock {
    began: Option<f64>,
    /// Seconds of the parts of the run before this one.
    prior: f64,
    /// Seconds of the whole run, once it is over.
    ended: Option<f64>,
    /// Whether no step was taken since the start or since going on.
    is_cold: bool,
    first_step: Option<f64>,
    /// Mean seconds of a step, the first one left out, and how many went in.
    pace: f64,
    warm_steps: usize,
    step_seconds: f64,
    evaluation_seconds: f64,
    /// Step of the last evaluation.
    evaluated: usize,
}

impl Clock {
    pub(super) fn start(&mut self, now: f64) {
        self.began = Some(now);
        self.ended = None;
        self.is_cold = true;
    }

    pub(super) fn resume(&mut self, now: f64) {
        self.start(now);
        self.prior = self.step_seconds + self.evaluation_seconds;
    }

    /// Whether the step counts for what a second holds: the first one compiles kernels on a GPU.
    pub(super) fn step(&mut self, seconds: f64, now: f64) -> bool {
        if self.began.is_none() {
            self.start(now - seconds);
        }
        self.step_seconds += seconds;
        if std::mem::take(&mut self.is_cold) {
            self.first_step = Some(seconds);
            return false;
        }
        self.warm_steps += 1;
        let weight = (1.0 / self.warm_steps as f64).max(NEWEST);
        self.pace += (seconds - self.pace) * weight;
        true
    }

    pub(super) fn evaluation(&mut self, step: usize, seconds: f64) {
        self.evaluation_seconds += seconds;
        self.evaluated = step;
    }

    pub(super) fn end(&mut self, seconds: f64) {
        self.ended = Some(seconds);
    }

    /// Ends the run at this moment.
    pub(super) fn stop(&mut self, now: f64) {
        self.ended = Some(self.elapsed(now));
    }

    pub(super) fn first_step(&self) -> Option<f64> {
        self.first_step
    }

    pub(super) fn elapsed(&self, now: f64) -> f64 {
        let running = self.began.map_or(0.0, |began| (now - began).max(0.0));
        self.ended.unwrap_or(self.prior + running)
    }

    /// Seconds that the remaining steps will take, evaluations included; unknown before the second step.
    pub(super) fn left(&self, remaining_steps: usize) -> Option<f64> {
        if self.warm_steps == 0 || self.ended.is_some() {
            return None;
        }
        let evaluating = match self.evaluated {
            0 => 0.0,
            step => self.evaluation_seconds / step as f64,
        };
        Some((self.pace + evaluating) * remaining_steps as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_step_tells_nothing_about_the_remaining_ones() {
        let mut clock = Clock::default();
        clock.start(0.0);
        assert!(!clock.step(60.0, 60.0));
        assert_eq!(clock.left(10), None);
        assert_eq!(clock.first_step(), Some(60.0));
        assert!(clock.step(2.0, 62.0));
        assert!(clock.step(4.0, 66.0));
        assert_eq!(clock.left(10), Some(30.0));
        clock.evaluation(3, 1.5);
        assert_eq!(clock.left(10), Some(35.0));
        assert_eq!(clock.elapsed(70.0), 70.0);
    }

    #[test]
    fn a_resumed_run_adds_its_parts() {
        let mut clock = Clock::default();
        clock.start(0.0);
        for _ in 0..10 {
            clock.step(5.0, 0.0);
        }
        clock.end(50.0);
        clock.resume(1.0);
        assert_eq!(clock.elapsed(3.0), 52.0);
        assert!(!clock.step(9.0, 10.0));
        assert_eq!(clock.left(2), Some(10.0));
        clock.end(59.0);
        assert_eq!((clock.elapsed(99.0), clock.left(0)), (59.0, None));
    }

    #[test]
    fn the_pace_follows_a_change() {
        let mut clock = Clock::default();
        for _ in 0..200 {
            clock.step(1.0, 0.0);
        }
        for _ in 0..100 {
            clock.step(2.0, 0.0);
        }
        assert!((clock.left(1).unwrap() - 2.0).abs() < 0.02);
    }
}
