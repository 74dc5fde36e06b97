//! A curve of any length in bounded memory.

/// Most buckets of a series; even, so that they merge in pairs.
const CAPACITY: usize = 1024;

/// The smoothed curve averages over this share of the buckets, to each side.
const SMOOTHING: usize = 40;

/// A step and a value.
pub(super) type Point = (f64, f64);

/// Neighboring points: their ends, their extremes and their mean.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    first: Point,
    low: Point,
    high: Point,
    last: Point,
    sum: f64,
    count: usize,
}

impl Bucket {
    fn new(point: Point) -> Self {
        Self {
            first: point,
            low: point,
            high: point,
            last: point,
            sum: point.1,
            count: 1,
        }
    }

    fn absorb(&mut self, next: &Self) {
        if next.low.1 < self.low.1 {
            self.low = next.low;
        }
        if next.high.1 > self.high.1 {
            self.high = next.high;
        }
        self.last = next.last;
        self.sum += next.sum;
        self.count += next.count;
    }
}

/// Points in the order of their steps. Ends and extremes of a long series stay exact: when the buckets
/// are full, neighbors merge.
#[derive(Clone, Debug)]
pub(super) struct Series {
    buckets: Vec<Bucket>,
    /// Points of a full bucket.
    stride: usize,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            buckets: Vec::new(),
            stride: 1,
        }
    }
}

impl Series {
    /// Adds a point; one that is not finite cannot be drawn and is left out.
    pub(super) fn push(&mut self, step: f64, value: f64) {
        if !value.is_finite() {
            return;
        }
        let bucket = Bucket::new((step, value));
        match self.buckets.last_mut() {
            Some(last) if last.count < self.stride => last.absorb(&bucket),
            _ => self.buckets.push(bucket),
        }
        if self.buckets.len() > CAPACITY {
            self.merge(2);
        }
    }

    fn merge(&mut self, neighbors: usize) {
        let groups = self.buckets.chunks(neighbors).map(|group| {
            let mut merged = group[0];
            group[1..].iter().for_each(|next| merged.absorb(next));
            merged
        });
        self.buckets = groups.collect();
        self.stride *= neighbors;
    }

    /// The same curve in at most so many buckets, for a chart that shows no more of it.
    pub(super) fn coarser(&self, most: usize) -> Self {
        let mut coarse = self.clone();
        let neighbors = self.buckets.len().div_ceil(most.max(1));
        if neighbors > 1 {
            coarse.merge(neighbors);
        }
        coarse
    }

    pub(super) fn last(&self) -> Option<Point> {
        self.buckets.last().map(|bucket| bucket.last)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The curve as it was measured: of each bucket, its ends and its extremes.
    pub(super) fn points(&self) -> Vec<Point> {
        let mut points = Vec::with_capacity(self.buckets.len() * 4);
        for bucket in &self.buckets {
            let mut middle = [bucket.low, bucket.high];
            middle.sort_by(|a, b| a.0.total_cmp(&b.0));
            points.extend([bucket.first, middle[0], middle[1], bucket.last]);
        }
        points.dedup();
        points
    }

    /// The mean around each bucket.
    pub(super) fn smoothed(&self) -> Vec<Point> {
        let half = self.buckets.len() / SMOOTHING;
        let around = |index: usize| {
            let end = (index + half + 1).min(self.buckets.len());
            let window = &self.buckets[index.saturating_sub(half)..end];
            let sum: f64 = window.iter().map(|bucket| bucket.sum).sum();
            let count: usize = window.iter().map(|bucket| bucket.count).sum();
            (self.buckets[index].last.0, sum / count as f64)
        };
        (0..self.buckets.len()).map(around).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_series_keeps_its_ends_and_extremes_in_bounded_memory() {
        let mut series = Series::default();
        for step in 0..1_000_001 {
            let value = match step {
                123_456 => 99.0,
                765_432 => -99.0,
                _ => f64::from(step % 7),
            };
            series.push(f64::from(step), value);
        }
        let points = series.points();
        assert!(points.len() <= 4 * CAPACITY);
        assert_eq!(points[0], (0.0, 0.0));
        assert_eq!(points[points.len() - 1], (1_000_000.0, 1.0));
        assert_eq!(series.last(), Some((1_000_000.0, 1.0)));
        assert!(points.contains(&(123_456.0, 99.0)));
        assert!(points.contains(&(765_432.0, -99.0)));
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let few = series.coarser(10).points();
        assert!(few.len() <= 40);
        assert!(few.contains(&(123_456.0, 99.0)) && few.contains(&(765_432.0, -99.0)));
    }

    #[test]
    fn smoothing_keeps_the_mean_and_lessens_the_noise() {
        let mut series = Series::default();
        for step in 0..50_000 {
            series.push(f64::from(step), f64::from(step % 2));
        }
        let smooth = series.smoothed();
        assert!(smooth.len() <= CAPACITY);
        assert!(smooth.iter().all(|(_, value)| (value - 0.5).abs() < 0.02));
    }

    #[test]
    fn a_short_series_is_exact() {
        let mut series = Series::default();
        series.push(1.0, 2.0);
        series.push(2.0, f64::NAN);
        series.push(3.0, 1.0);
        assert_eq!(series.points(), [(1.0, 2.0), (3.0, 1.0)]);
        assert_eq!(series.smoothed(), series.points());
    }
}
