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
    /// Share of a new value in the mean that goes on with the curve until the page is made anew.
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

/// The mean of the points around each: as many before it as after it, `radius` where there are so many.
///
/// At the end, where the future is missing, the points before count alone, since a curve that ends in the
/// noise of its last point says little.
pub(crate) fn smoothed(points: &[Point], radius: usize) -> Vec<Point> {
    let mut sums = vec![(0.0, 0_usize)];
    for point in points {
        let (sum, count) = sums[sums.len() - 1];
        sums.push(match point.value.filter(|value| value.is_finite()) {
            Some(value) => (sum + value, count + 1),
            None => (sum, count),
        });
    }
    let mean = |(index, point): (usize, &Point)| {
        let radius = radius.min(index);
        let (before, after) = (
            sums[index - radius],
            sums[(index + radius + 1).min(points.len())],
        );
        let count = after.1 - before.1;
        Point {
            value: (count > 0).then(|| (after.0 - before.0) / count as f64),
            ..*point
        }
    };
    points.iter().enumerate().map(mean).collect()
}

/// The smallest and the largest point of each of equal parts, where there are too many points.
fn thinned(points: Vec<Point>) -> Vec<Point> {
    if points.len() <= MAX_POINTS {
        return points;
    }
    let part = points.len().div_ceil(MAX_POINTS / 2);
    let extremes = |part: &[Point]| {
        // What has no value is neither the smallest nor the largest, unless nothing has one.
        let at_least = |index: &usize| part[*index].value.unwrap_or(f64::INFINITY);
        let at_most = |index: &usize| part[*index].value.unwrap_or(f64::NEG_INFINITY);
        let low = (0..part.len()).min_by(|a, b| at_least(a).total_cmp(&at_least(b)));
        let high = (0..part.len()).max_by(|a, b| at_most(a).total_cmp(&at_most(b)));
        let (low, high) = (low.unwrap_or(0), high.unwrap_or(0));
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
        all[65_433].value = None;
        let few = thinned(all.clone());
        assert!(few.len() <= MAX_POINTS, "{}", few.len());
        assert!(few.contains(&all[54_321]) && few.contains(&all[65_432]));
        assert!(few.is_sorted_by_key(|point| point.step));
    }

    #[test]
    fn smoothing_is_centered_and_fills_gaps() {
        let mut line = points([6.0, 5.0, 4.0, 3.0, 2.0]);
        line[2].value = None;
        let values: Vec<_> = smoothed(&line, 1).iter().map(|point| point.value).collect();
        assert_eq!(
            values,
            [Some(6.0), Some(5.5), Some(4.0), Some(2.5), Some(2.5)]
        );
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
