//! Whether kernels are used, and how often they were.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static IS_ON: AtomicBool = AtomicBool::new(true);
static CALLS: [AtomicU64; Kernel::ALL.len()] = [const { AtomicU64::new(0) }; Kernel::ALL.len()];

/// A kernel, by what it computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// Attention.
    Attend,
    /// Its gradients.
    AttendBackward,
    /// Layer normalization.
    NormalizeLayer,
    /// Its gradients.
    NormalizeLayerBackward,
    /// Root mean square normalization.
    NormalizeRms,
    /// Its gradients.
    NormalizeRmsBackward,
    /// SwiGLU.
    Swiglu,
    /// Its gradients.
    SwigluBackward,
    /// GELU, of both kinds.
    Gelu,
    /// Its gradient.
    GeluBackward,
    /// Dropout.
    DropOut,
    /// Its gradient.
    DropOutBackward,
    /// Residual sums, with dropout or without.
    Add,
    /// Their gradients.
    AddBackward,
    /// A linear layer without a bias.
    Multiply,
    /// Its gradients.
    MultiplyBackward,
    /// A linear layer with a bias.
    Affine,
    /// Its gradients.
    AffineBackward,
    /// A linear layer that carries an adapter.
    Adapt,
    /// Its gradients.
    AdaptBackward,
    /// Rows of a table.
    LookUp,
    /// Its gradient.
    LookUpBackward,
    /// Rotary position embedding.
    Rotate,
    /// Its gradient.
    RotateBackward,
    /// Cross-entropy.
    CrossEntropy,
    /// Its gradient.
    CrossEntropyBackward,
    /// A step of `AdamW`.
    AdamW,
    /// Sums of squares.
    SumOfSquares,
}

impl Kernel {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::Attend,
        Self::AttendBackward,
        Self::NormalizeLayer,
        Self::NormalizeLayerBackward,
        Self::NormalizeRms,
        Self::NormalizeRmsBackward,
        Self::Swiglu,
        Self::SwigluBackward,
        Self::Gelu,
        Self::GeluBackward,
        Self::DropOut,
        Self::DropOutBackward,
        Self::Add,
        Self::AddBackward,
        Self::Multiply,
        Self::MultiplyBackward,
        Self::Affine,
        Self::AffineBackward,
        Self::Adapt,
        Self::AdaptBackward,
        Self::LookUp,
        Self::LookUpBackward,
        Self::Rotate,
        Self::RotateBackward,
        Self::CrossEntropy,
        Self::CrossEntropyBackward,
        Self::AdamW,
        Self::SumOfSquares,
    ];

    pub(super) fn count(self) {
        CALLS[self as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Switches all kernels of the process on, as they are at the start, or off.
pub fn set_kernels(are_on: bool) {
    IS_ON.store(are_on, Ordering::Relaxed);
}

/// Calls of a kernel since the process began.
pub fn kernel_calls(kernel: Kernel) -> u64 {
    CALLS[kernel as usize].load(Ordering::Relaxed)
}

pub(super) fn is_on() -> bool {
    IS_ON.load(Ordering::Relaxed)
}
