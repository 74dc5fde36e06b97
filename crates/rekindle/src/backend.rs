//! Which backends are in this build, which devices they find, and a call on one of them.
//!
//! The only file that knows Cargo features. Everything else is generic over the backend type; a
//! `Job` is how generic code is called from a name.

use rekindle_train::batch::Layout;
use rekindle_train::task::TrainableBackend;

/// Names that `--backend` takes, in the order in which `auto` prefers them; `vulkan` and `metal` are
/// `wgpu` on an adapter of that API.
pub const NAMES: [&str; 7] = ["cuda", "rocm", "metal", "vulkan", "wgpu", "flex", "ndarray"];

/// Widths of padded batches are multiples of this on GPUs, so that few shapes occur.
const GPU_WIDTH_MULTIPLE: usize = 16;

/// Generic code that runs on a backend.
pub(crate) trait Job {
    /// What it gives back.
    type Output;

    /// Runs on a device of `B`.
    fn run<B: TrainableBackend>(self, device: &B::Device) -> Self::Output;
}

/// Why no backend could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// Not the name of a backend.
    #[error("unknown backend `{0}`")]
    Unknown(String),
    /// The name is known, and the feature was off when this was built.
    #[error("backend `{0}` is not in this build")]
    NotBuilt(String),
    /// Compiled in, and no device answers.
    #[error("backend `{name}` finds no device: {reason}")]
    NoDevice {
        /// The backend.
        name: String,
        /// What was looked for.
        reason: String,
    },
}

impl BackendError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let built = built()
            .map(|name| format!("`{name}`"))
            .collect::<Vec<_>>()
            .join(", ");
        Some(match self {
            Self::Unknown(_) => format!("one of: `auto`, {built}"),
            Self::NotBuilt(name) => {
                format!("rebuild with `--features {name}`, or use one of: {built}")
            }
            Self::NoDevice { .. } => {
                "`rekindle doctor` shows what was looked for; `--backend auto` takes what there is"
                    .to_owned()
            }
        })
    }
}

/// A device that a backend of this build finds.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Name of the backend.
    pub backend: &'static str,
    /// Name of the device.
    pub device: String,
    /// Whether it is a GPU, not a processor or an imitation on one.
    pub is_gpu: bool,
    target: Target,
}

/// A backend that was chosen, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The backend and device.
    pub found: Found,
    /// Why this one.
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Target {
    #[cfg(feature = "cuda")]
    Cuda(usize),
    #[cfg(feature = "rocm")]
    Rocm,
    #[cfg(feature = "wgpu")]
    Wgpu(burn_wgpu::WgpuDevice),
    #[cfg(feature = "flex")]
    Flex,
    #[cfg(feature = "ndarray")]
    NdArray,
}

/// Names of the backends in this build.
pub fn built() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().filter(|&name| is_built(name))
}

fn is_built(name: &str) -> bool {
    const FEATURES: [(&str, bool); 7] = [
        ("cuda", cfg!(feature = "cuda")),
        ("rocm", cfg!(feature = "rocm")),
        ("metal", cfg!(feature = "metal")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("wgpu", cfg!(feature = "wgpu")),
        ("flex", cfg!(feature = "flex")),
        ("ndarray", cfg!(feature = "ndarray")),
    ];
    FEATURES.contains(&(name, true))
}

/// Devices that the backends of this build find, or what each looked for in vain.
pub fn detect(name: &'static str) -> Result<Vec<Found>, BackendError> {
    match name {
        _ if !is_built(name) => Err(BackendError::NotBuilt(name.to_owned())),
        #[cfg(feature = "cuda")]
        "cuda" => cuda::detect(),
        #[cfg(feature = "rocm")]
        "rocm" => rocm::detect(),
        #[cfg(feature = "wgpu")]
        "metal" | "vulkan" | "wgpu" => webgpu::detect(name),
        #[cfg(feature = "flex")]
        "flex" => Ok(vec![processor(name, Target::Flex)]),
        #[cfg(feature = "ndarray")]
        "ndarray" => Ok(vec![processor(name, Target::NdArray)]),
        _ => Err(BackendError::Unknown(name.to_owned())),
    }
}

#[cfg(any(feature = "flex", feature = "ndarray"))]
fn processor(backend: &'static str, target: Target) -> Found {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let device = format!("processor, {threads} threads");
    Found {
        backend,
        device,
        is_gpu: false,
        target,
    }
}

/// The backend of a name; `auto` takes a real GPU if one is found, else the processor.
pub fn choose(name: &str) -> Result<Choice, BackendError> {
    if name == "auto" {
        return choose_best();
    }
    let known = NAMES.into_iter().find(|&known| known == name);
    let name = known.ok_or_else(|| BackendError::Unknown(name.to_owned()))?;
    let found = detect(name)?;
    let best = found
        .iter()
        .find(|found| found.is_gpu)
        .or(found.first())
        .cloned();
    match best {
        Some(found) => Ok(Choice {
            found,
            reason: "asked for".to_owned(),
        }),
        None => Err(BackendError::NoDevice {
            name: name.to_owned(),
            reason: "none answered".to_owned(),
        }),
    }
}

fn choose_best() -> Result<Choice, BackendError> {
    let all: Vec<Found> = built()
        .filter_map(|name| detect(name).ok())
        .flatten()
        .collect();
    if let Some(gpu) = all.iter().find(|found| found.is_gpu) {
        return Ok(Choice {
            found: gpu.clone(),
            reason: "the first GPU found".to_owned(),
        });
    }
    let gpus: Vec<_> = built()
        .filter(|name| !matches!(*name, "flex" | "ndarray"))
        .collect();
    let reason = if gpus.is_empty() {
        "no GPU backend is in this build".to_owned()
    } else {
        format!("no GPU found by {}", gpus.join(", "))
    };
    let processor = all
        .into_iter()
        .find(|found| matches!(found.backend, "flex" | "ndarray"));
    match processor {
        Some(found) => Ok(Choice { found, reason }),
        None => Err(BackendError::NoDevice {
            name: "auto".to_owned(),
            reason,
        }),
    }
}

impl Choice {
    /// How rows lie best in this device's memory.
    pub fn layout(&self) -> Layout {
        match self.found.backend {
            "flex" | "ndarray" => Layout::Ragged,
            _ => Layout::Padded {
                multiple: GPU_WIDTH_MULTIPLE,
            },
        }
    }

    /// Runs generic code on the chosen backend.
    pub(crate) fn run<J: Job>(&self, job: J) -> J::Output {
        match &self.found.target {
            #[cfg(feature = "cuda")]
            Target::Cuda(index) => {
                let device = burn_cuda::CudaDevice::new(*index);
                job.run::<burn_autodiff::Autodiff<burn_cuda::Cuda>>(&device)
            }
            #[cfg(feature = "rocm")]
            Target::Rocm => {
                let device = burn_rocm::RocmDevice::default();
                job.run::<burn_autodiff::Autodiff<burn_rocm::Rocm>>(&device)
            }
            #[cfg(feature = "wgpu")]
            Target::Wgpu(device) => job.run::<burn_autodiff::Autodiff<burn_wgpu::Wgpu>>(device),
            #[cfg(feature = "flex")]
            Target::Flex => {
                job.run::<burn_autodiff::Autodiff<burn_flex::Flex>>(&burn_flex::FlexDevice)
            }
            #[cfg(feature = "ndarray")]
            Target::NdArray => {
                let device = burn_ndarray::NdArrayDevice::Cpu;
                job.run::<burn_autodiff::Autodiff<burn_ndarray::NdArray>>(&device)
            }
        }
    }
}

#[cfg(feature = "cuda")]
mod cuda {
    //! Looking for CUDA without Burn, whose own calls panic where there is none.

    use super::{BackendError, Found, Target};

    pub(super) fn detect() -> Result<Vec<Found>, BackendError> {
        let missing = |reason: String| BackendError::NoDevice {
            name: "cuda".to_owned(),
            reason,
        };
        // Where the library is missing, cudarc panics; that is no failure to be shown.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let has_driver = std::panic::catch_unwind(cudarc::driver::CudaContext::device_count);
        std::panic::set_hook(hook);
        let count = match has_driver {
            Ok(Ok(count)) => count as usize,
            Ok(Err(error)) => return Err(missing(format!("the driver answers {error:?}"))),
            Err(_) => return Err(missing("no CUDA driver is installed".to_owned())),
        };
        let device = |index: usize| {
            let name = cudarc::driver::CudaContext::new(index).and_then(|context| context.name());
            Found {
                backend: "cuda",
                device: name.unwrap_or_else(|_| format!("device {index}")),
                is_gpu: true,
                target: Target::Cuda(index),
            }
        };
        Ok((0..count).map(device).collect())
    }
}

#[cfg(feature = "rocm")]
mod rocm {
    //! Looking for the kernel driver of AMD's compute devices.

    use super::{BackendError, Found, Target};

    pub(super) fn detect() -> Result<Vec<Found>, BackendError> {
        if std::path::Path::new("/dev/kfd").exists() {
            let device = "AMD device 0".to_owned();
            return Ok(vec![Found {
                backend: "rocm",
                device,
                is_gpu: true,
                target: Target::Rocm,
            }]);
        }
        let reason = "the AMD kernel driver (/dev/kfd) is not there".to_owned();
        Err(BackendError::NoDevice {
            name: "rocm".to_owned(),
            reason,
        })
    }
}

#[cfg(feature = "wgpu")]
mod webgpu {
    //! Adapters as the `wgpu` crate lists them.

    use burn_wgpu::WgpuDevice;
    use wgpu::{Backend, Backends, DeviceType, Instance, InstanceDescriptor};

    use super::{BackendError, Found, Target};

    /// The API that Burn's runtime uses on this system.
    const API: Backend = if cfg!(target_os = "macos") {
        Backend::Metal
    } else {
        Backend::Vulkan
    };

    pub(super) fn detect(name: &'static str) -> Result<Vec<Found>, BackendError> {
        let wanted = match name {
            "metal" => Backend::Metal,
            "vulkan" => Backend::Vulkan,
            _ => API,
        };
        let missing = |reason| BackendError::NoDevice {
            name: name.to_owned(),
            reason,
        };
        if wanted != API {
            return Err(missing(format!("this system has {API:?}, not {wanted:?}")));
        }
        let instance = Instance::new(InstanceDescriptor {
            backends: Backends::from(API),
            ..InstanceDescriptor::new_without_display_handle()
        });
        let adapters = pollster::block_on(instance.enumerate_adapters(Backends::from(API)));
        // Burn numbers the devices of each type, in this order.
        let mut counts = [0; 3];
        let mut next = |kind: usize| {
            counts[kind] += 1;
            counts[kind] - 1
        };
        let mut found: Vec<Found> = adapters
            .iter()
            .map(wgpu::Adapter::get_info)
            .map(|info| {
                let (device, kind) = match info.device_type {
                    DeviceType::DiscreteGpu => (WgpuDevice::DiscreteGpu(next(0)), "GPU"),
                    DeviceType::IntegratedGpu => {
                        (WgpuDevice::IntegratedGpu(next(1)), "integrated GPU")
                    }
                    DeviceType::VirtualGpu => (WgpuDevice::VirtualGpu(next(2)), "virtual GPU"),
                    DeviceType::Cpu => (WgpuDevice::Cpu, "software adapter"),
                    DeviceType::Other => (WgpuDevice::DefaultDevice, "unknown kind"),
                };
                Found {
                    backend: name,
                    device: format!("{} ({API:?}, {kind})", info.name),
                    is_gpu: !matches!(info.device_type, DeviceType::Cpu | DeviceType::Other),
                    target: Target::Wgpu(device),
                }
            })
            .collect();
        if found.is_empty() {
            return Err(missing(format!("no {API:?} driver answers")));
        }
        // A discrete GPU before an integrated one, and software last.
        found.sort_by_key(|found| match &found.target {
            Target::Wgpu(WgpuDevice::DiscreteGpu(_)) => 0,
            Target::Wgpu(WgpuDevice::IntegratedGpu(_)) => 1,
            Target::Wgpu(WgpuDevice::VirtualGpu(_)) => 2,
            _ => 3,
        });
        Ok(found)
    }
}
