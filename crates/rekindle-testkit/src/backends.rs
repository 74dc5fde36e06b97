//! One test on every backend that runs without a device.

/// How far gradients on `flex` may be from the reference, relative to the largest number of a tensor.
pub const FLEX: f64 = 1e-4;

/// The same of other backends, whose sums run in another order.
pub const OTHERS: f64 = 1e-3;

/// Makes tests, each of which calls `check::<B>(CASE, TOLERANCE_OF_GRADIENTS)` on a backend.
///
/// The crate depends on `burn-autodiff`, `burn-flex` and `burn-ndarray`.
#[macro_export]
macro_rules! on_backends {
    ($($test:ident: $case:expr;)*) => {
        mod on_flex {
            type B = ::burn_autodiff::Autodiff<::burn_flex::Flex>;
            $(#[test] fn $test() { super::check::<B>($case, $crate::FLEX); })*
        }
        mod on_ndarray {
            type B = ::burn_autodiff::Autodiff<::burn_ndarray::NdArray>;
            $(#[test] fn $test() { super::check::<B>($case, $crate::OTHERS); })*
        }
    };
}
