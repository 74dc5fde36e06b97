//! What a chart shows, as data for the script that draws it.

use serde::{Serialize, Serializer};

use super::short;

/// A page stays light with no more points of a series than this.
const MAX_POINTS: usize = 2000;

/// Curves over steps or epochs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Chart {
    pub(crate) id: String,
    pub(crate) title: String,
    #[serde(skip)]
    pub(crate) note: Option<String>,
    pub(crate) unit: Unit,
    pub(crate) x: Axis,
    /// Whether a logarithmic scale is offered.
    pub(crate) log: bool,
    pub(crate) series: Vec<Series>,
}

/// How values are written.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    Number,
    Rate,
    Count,
    Bytes,
}

/// What the horizontal axis counts.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Axis {
    Step,
    Epoch,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Style {
    /// A pale line behind the others.
    Faint,
    Line,
    /// A line with a dot at each point.
    Dots,
    /// A ring around each point.
    Rings,
}

/// A curve.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) style: Style,
    /// Number of its color in the palette.
    pub(crate) color: usize,
    pub(crate) points: Vec<Point>,
    /// Field of a `step` event that goes on with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) follows: Option<&'static str>,
    /// Share of a new value in the running mean that the curve shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) smoothing: Option<f64>,
}

/// A place on a curve; without a value, the curve has a gap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) step: usize,
    pub(crate) epoch: f64,
    pub(crate) value: Option<f64>,
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Short(f64);
        impl Serialize for Short {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                short(self.0, serializer)
            }
        }
        let value = self.value.filter(|value| value.is_finite()).map(Short);
        (self.step, Short(self.epoch), value).serialize(serializer)
    }
}

impl Series {
    pub(crate) fn new(
        name: impl Into<String>,
        style: Style,
        color: usize,
        points: Vec<Point>,
    ) -> Self {
        Self {
            name: name.into(),
            style,
            color,
            points: thinned(points),
            follows: None,
            smoothing: None,
        }
    }

    pub(crate) fn following(mut self, field: &'static str) -> Self {
        self.follows = Some(field);
        self
    }

    pub(crate) fn has_values(&self) -> bool {
        self.points.iter().any(|point| point.value.is_some())
    }
}

/// The running mean of points: the plain mean at first, then one that forgets.
pub(crate) fn smoothed(points: &[Point], smoothing: f64) -> Vec<Point> {
    let mut mean = 0.0;
    let mut count = 0;
    let mut smooth = |point: &Point| {
        let value = point.value.filter(|value| value.is_finite());
        if let Some(value) = value {
            count += 1;
            mean += (value - mean) * smoothing.max(1.0 / f64::from(count));
        }
        Point {
            value: value.map(|_| mean),
            ..*point
        }
    };
    points.iter().map(&mut smooth).collect()
}

/// The smallest and the largest point of each of equal parts, where there are too many points.
fn thinned(points: Vec<Point>) -> Vec<Point> {
    if points.len() <= MAX_POINTS {
        return points;
    }
    let part = points.len().div_ceil(MAX_POINTS / 2);
    let extremes = |part: &[Point]| {
        let value = |index: &usize| part[*index].value.unwrap_or(f64::NAN);
        let order = |a: &usize, b: &usize| value(a).total_cmp(&value(b));
        // A NaN is larger than all numbers, so a gap is kept.
        let low = (0..part.len()).min_by(order).unwrap_or(0);
        let high = (0..part.len()).max_by(order).unwrap_or(0);
        let mut picks = vec![low.min(high), low.max(high)];
        picks.dedup();
        picks
            .into_iter()
            .map(|index| part[index])
            .collect::<Vec<_>>()
    };
    points.chunks(part).flat_map(extremes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(values: impl IntoIterator<Item = f64>) -> Vec<Point> {
        let point = |(index, value)| Point {
            step: index + 1,
            epoch: 0.0,
            value: Some(value),
        };
        values.into_iter().enumerate().map(point).collect()
    }

    #[test]
    fn thinning_keeps_extremes_and_ends() {
        let mut all = points((0..100_000).map(|index| f64::from(index % 7)));
        all[54_321].value = Some(100.0);
        all[65_432].value = Some(-100.0);
        let few = thinned(all.clone());
        assert!(few.len() <= MAX_POINTS, "{}", few.len());
        assert!(few.contains(&all[54_321]) && few.contains(&all[65_432]));
        assert!(few.is_sorted_by_key(|point| point.step));
    }

    #[test]
    fn a_running_mean_begins_as_the_mean() {
        let smooth = smoothed(&points([4.0, 2.0, 3.0]), 0.1);
        let values: Vec<f64> = smooth.iter().filter_map(|point| point.value).collect();
        assert_eq!(values, [4.0, 3.0, 3.0]);
    }

    #[test]
    fn a_point_is_short_and_never_infinite() {
        let point = Point {
            step: 3,
            epoch: 1.0 / 3.0,
            value: Some(f64::INFINITY),
        };
        assert_eq!(serde_json::to_string(&point).unwrap(), "[3,0.3333333,null]");
    }
}
