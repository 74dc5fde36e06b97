//! The gradient of a large table, of which a batch of texts reaches few rows, and its moments.
//!
//! They are tensors like any other. But as long as nobody has changed the gradient, it is known which parts of
//! it were never written, so that norm and optimizer pass over them; and once the optimizer has seen that of
//! a batch of few tokens, its memory is used again, of which only the rows that were written have to be
//! cleared. As long as nobody else has changed the moments, it is known where they are zero still.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use burn::tensor::{Bytes, Shape};
use burn_flex::FlexTensor;

use super::numbers::{tensor, zeros};
use super::optimizer::SPAN;

/// Numbers of a part, which is either known to be zero or not.
pub(super) const PART: usize = 1 << 13;

/// Numbers of a table from which on this pays.
const LARGE: usize = 1 << 22;

/// Tokens of a batch up to which it pays to keep a gradient's memory: a step over more of them takes so long
/// that clearing all of it does not show, and it would lie idle where most other memory is in use.
const FEW: usize = 1 << 10;

thread_local! {
    /// The gradient that was made last, of a large table.
    static LAST: RefCell<Option<Gradient>> = const { RefCell::new(None) };

    /// The moments that were moved last, of a large table.
    static MOMENTS: RefCell<Option<Moments>> = const { RefCell::new(None) };
}

struct Gradient {
    place: Place,
    rows: Vec<usize>,
    is_written: Rc<[bool]>,
}

enum Place {
    /// With whoever computes with it. A tensor that changes in place while it is known here moves to another
    /// `Arc`, which `Arc::make_mut` sees to.
    Away(Weak<Bytes>),
    /// Here; nobody else has it.
    Here(FlexTensor),
}

/// For each row of a table the sum of the gradients of its places in a batch.
pub(super) fn sum_by_row(shape: [usize; 2], rows: &[usize], gradient: &[f32]) -> FlexTensor {
    let [height, width] = shape;
    let size = height * width;
    if size < LARGE {
        let mut sums = vec![0.0; size];
        add(&mut sums, rows, gradient, width);
        return tensor(sums, shape);
    }
    let mut sums = match LAST.take() {
        Some(last) => last
            .cleared(shape)
            .unwrap_or_else(|| tensor(zeros(size), shape)),
        // The system gives memory that is clear, but for what the program has used before.
        None => tensor(vec![0.0; size], shape),
    };
    add(sums.storage_mut(), rows, gradient, width);
    let mut is_written = vec![false; size.div_ceil(PART)];
    for &row in rows {
        let Range { start, end } = numbers_of(row, width);
        is_written[start / PART..end.div_ceil(PART)].fill(true);
    }
    LAST.set(Some(Gradient {
        place: Place::Away(Arc::downgrade(&sums.data_arc())),
        rows: rows.to_vec(),
        is_written: is_written.into(),
    }));
    sums
}

impl Gradient {
    /// Its memory, all of it zero, if it is of this shape and nobody has it.
    fn cleared(self, shape: [usize; 2]) -> Option<FlexTensor> {
        let Place::Here(mut sums) = self.place else {
            return None;
        };
        let [height, width] = shape;
        if sums.layout().num_elements() != height * width {
            return None;
        }
        let numbers: &mut [f32] = sums.storage_mut();
        for row in self.rows {
            numbers[numbers_of(row, width)].fill(0.0);
        }
        Some(sums.reshape(Shape::from(shape)))
    }

    /// Whether these are its numbers, all of them, unchanged.
    fn is_in(&self, tensor: &FlexTensor) -> bool {
        matches!(&self.place, Place::Away(data) if is_of(data, tensor))
    }
}

/// Which parts of a gradient, of [`PART`] numbers each, were written, if it is known.
pub(super) fn written(gradient: &FlexTensor) -> Option<Rc<[bool]>> {
    LAST.with_borrow(|last| {
        let last = last.as_ref().filter(|last| last.is_in(gradient))?;
        Some(Rc::clone(&last.is_written))
    })
}

/// Takes back the memory of a gradient that has been used, if its batch had few tokens.
pub(super) fn take_back(gradient: FlexTensor) {
    LAST.with_borrow_mut(|last| {
        if let Some(last) = last.as_mut().filter(|last| last.is_in(&gradient))
            && last.rows.len() <= FEW
            && gradient.is_unique()
        {
            last.place = Place::Here(gradient);
        }
    });
}

/// Moments as the optimizer left them.
struct Moments {
    /// See [`Place::Away`].
    data: [Weak<Bytes>; 2],
    is_idle: Vec<bool>,
}

/// For each span of a table whether both of its moments are known to be zero.
pub(super) fn idle(moments: [&FlexTensor; 2]) -> Vec<bool> {
    MOMENTS
        .take()
        .filter(|last| {
            let mut both = last.data.iter().zip(moments);
            both.all(|(data, moment)| is_of(data, moment))
        })
        .map_or_else(
            || vec![false; moments[0].layout().num_elements().div_ceil(SPAN)],
            |last| last.is_idle,
        )
}

/// Keeps in mind where moments are zero, for the next step.
pub(super) fn keep_idle(moments: [&FlexTensor; 2], is_idle: Vec<bool>) {
    let data = moments.map(|moment| Arc::downgrade(&moment.data_arc()));
    MOMENTS.set(Some(Moments { data, is_idle }));
}

/// Whether a tensor's numbers are all of these, in order.
fn is_of(data: &Weak<Bytes>, tensor: &FlexTensor) -> bool {
    let is_whole = size_of_val(tensor.bytes()) == tensor.layout().num_elements() * size_of::<f32>();
    is_whole && tensor.is_contiguous() && Weak::as_ptr(data) == Arc::as_ptr(&tensor.data_arc())
}

fn numbers_of(row: usize, width: usize) -> Range<usize> {
    row * width..(row + 1) * width
}

fn add(sums: &mut [f32], rows: &[usize], gradient: &[f32], width: usize) {
    for (&row, gradient) in rows.iter().zip(gradient.chunks_exact(width)) {
        let sums = &mut sums[numbers_of(row, width)];
        for (sum, number) in sums.iter_mut().zip(gradient) {
            *sum += number;
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Int, Tensor, TensorPrimitive};
    use burn_autodiff::Autodiff;
    use burn_flex::{Flex, FlexDevice};

    use super::*;
    use crate::TrainBackend;

    type B = Autodiff<Flex>;

    const SHAPE: [usize; 2] = [LARGE / 64, 64];

    /// The gradient of a table, of whose rows each of these is met once, as the optimizer gets it.
    fn gradient(rows: &[i32]) -> FlexTensor {
        let table = Tensor::<B, 2>::zeros(SHAPE, &FlexDevice).require_grad();
        let ids = Tensor::<B, 1, Int>::from_data(rows, &FlexDevice);
        let mut gradients = B::look_up(table.clone(), ids).sum().backward();
        let gradient = table.grad_remove(&mut gradients).expect("there is one");
        primitive(gradient.flatten(0, 1))
    }

    fn primitive(tensor: Tensor<Flex, 1>) -> FlexTensor {
        match tensor.into_primitive() {
            TensorPrimitive::Float(tensor) => tensor,
            TensorPrimitive::QFloat(_) => unreachable!("nothing is quantized"),
        }
    }

    fn numbers(gradient: &FlexTensor) -> &[f32] {
        gradient.as_slice().expect("the numbers are in order")
    }

    fn sum(gradient: &FlexTensor) -> f32 {
        numbers(gradient).iter().sum()
    }

    #[test]
    fn it_is_known_what_was_written_and_the_memory_is_used_again() {
        let first = gradient(&[0, 5, 5, 200]);
        assert_eq!(numbers(&first)[5 * 64..6 * 64], [2.0; 64]);
        assert_eq!(sum(&first), 4.0 * 64.0);
        let is_written = written(&first).expect("it is as it was made");
        let parts: Vec<usize> = (0..is_written.len())
            .filter(|&part| is_written[part])
            .collect();
        // A part has 128 rows.
        assert_eq!(parts, [0, 1]);
        let memory = numbers(&first).as_ptr();
        take_back(first);

        let second = gradient(&[200, 300, 65_535]);
        assert_eq!(numbers(&second).as_ptr(), memory);
        assert_eq!(sum(&second), 3.0 * 64.0);
        let is_written = written(&second).expect("it is as it was made");
        assert_eq!(is_written.iter().filter(|&&part| part).count(), 3);
        assert!(is_written[1] && is_written[2] && is_written[511]);
    }

    #[test]
    fn the_memory_is_given_back_after_a_batch_of_many_tokens() {
        for (tokens, holders) in [(FEW, 1), (FEW + 1, 0)] {
            let gradient = gradient(&vec![3; tokens]);
            let data = Arc::downgrade(&gradient.data_arc());
            take_back(gradient);
            assert_eq!(data.strong_count(), holders, "{tokens} tokens");
        }
    }

    #[test]
    fn a_gradient_that_somebody_has_is_left_alone() {
        let first = gradient(&[1]);
        let shared = first.clone();
        take_back(first);
        let second = gradient(&[2]);
        assert_eq!(sum(&shared), 64.0);
        assert_eq!(sum(&second), 64.0);
        assert!(written(&shared).is_none(), "only the last one is known");
    }

    #[test]
    fn a_gradient_that_was_changed_is_like_any_other() {
        let changed = gradient(&[1]);
        let changed = Tensor::<Flex, 1>::from_primitive(TensorPrimitive::Float(changed)) + 1.0;
        let changed = primitive(changed);
        assert!(written(&changed).is_none());
        take_back(changed);

        let mut written_to = gradient(&[1]);
        written_to.storage_mut::<f32>()[0] = 3.0;
        assert!(written(&written_to).is_none());

        let part = gradient(&[1]).narrow(0, 0, 64);
        assert!(written(&part).is_none());
        let other: [usize; 2] = [SHAPE[0] * 2, SHAPE[1]];
        let sums = sum_by_row(other, &[7], &[1.0; 64]);
        assert_eq!(sum(&sums), 64.0);
    }

    #[test]
    fn it_is_known_where_moments_are_zero_as_long_as_nobody_changes_them() {
        let moments = || [0, 1].map(|_| tensor(vec![0.0; LARGE], [LARGE]));
        let [first, mut second] = moments();
        let unknown = vec![false; LARGE / SPAN];
        assert_eq!(idle([&first, &second]), unknown, "nothing was said");
        let known = || {
            let mut is_idle = unknown.clone();
            is_idle[3] = true;
            is_idle
        };
        keep_idle([&first, &second], known());
        assert_eq!(idle([&first, &second]), known());
        assert_eq!(idle([&first, &second]), unknown, "it is said once");

        keep_idle([&first, &second], known());
        second.storage_mut::<f32>()[3 * SPAN] = 1.0;
        assert_eq!(idle([&first, &second]), unknown, "one has changed");

        keep_idle([&first, &second], known());
        assert_eq!(idle([&second, &first]), unknown, "one is the other");

        keep_idle([&first, &second], known());
        let [third, _] = moments();
        assert_eq!(idle([&first, &third]), unknown, "one is another's");
    }
}
