//! The devices that models compute on.

use candle_core::Device;
use candle_core::utils::cuda_is_available;

use super::LoadError;
use super::options::DeviceChoice;
use crate::memory;

impl DeviceChoice {
    /// Opens the device.
    ///
    /// # Errors
    /// [`LoadError::DeviceUnavailable`] when `cuda` is asked for and there is none.
    pub(crate) fn open(self) -> Result<Device, LoadError> {
        if self == Self::Cpu || self == Self::Auto && !cuda_is_available() {
            return Ok(Device::Cpu);
        }
        match first_gpu() {
            Ok(gpu) => {
                tracing::info!("the model computes on the first NVIDIA GPU");
                Ok(gpu)
            }
            Err(problem) if self == Self::Auto => {
                tracing::info!(problem, "the model computes on the processor");
                Ok(Device::Cpu)
            }
            Err(problem) => Err(LoadError::DeviceUnavailable {
                device: "cuda",
                problem,
            }),
        }
    }
}

/// The first GPU, or why there is none and what to do about it.
fn first_gpu() -> Result<Device, String> {
    if !cuda_is_available() {
        return Err(
            "this build has no CUDA support (`cargo xtask cuda build` makes one that has)"
                .to_owned(),
        );
    }
    // With a stream of its own: candle's other way takes that of the calling thread, and a model is loaded by one
    // thread and computes on others, whose streams would not wait for each other.
    Device::new_cuda_with_stream(0).map_err(|e| {
        let told = e.to_string();
        // Further lines tell where in candle it came from.
        let told = told.lines().next().unwrap_or_default();
        format!(
            "no NVIDIA GPU can be opened: {told} (the replica has to ask for one, and the node to have its driver)"
        )
    })
}

/// Bytes that can be taken on a device; `None` where nobody says.
pub(super) fn available(device: &Device) -> Option<u64> {
    match device.is_cpu() {
        true => memory::available(),
        false => free_on_gpu(device),
    }
}

#[cfg(feature = "cuda")]
fn free_on_gpu(device: &Device) -> Option<u64> {
    let gpu = device.as_cuda_device().ok()?;
    let (free, _) = gpu.cuda_stream().context().mem_get_info().ok()?;
    Some(free as u64)
}

#[cfg(not(feature = "cuda"))]
fn free_on_gpu(_: &Device) -> Option<u64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_always_there() {
        assert!(DeviceChoice::Cpu.open().is_ok_and(|device| device.is_cpu()));
        assert!(available(&Device::Cpu).is_some_and(|bytes| bytes > 0));
    }

    #[test]
    fn without_a_gpu_auto_is_the_processor_and_cuda_an_error_that_says_what_to_do() {
        let found = (DeviceChoice::Auto.open(), DeviceChoice::Cuda.open());
        match found {
            (Ok(auto), Ok(cuda)) => assert!(!auto.is_cpu() && !cuda.is_cpu()),
            (Ok(auto), Err(error)) => {
                assert!(auto.is_cpu());
                assert_eq!(error.reason(), "DeviceUnavailable");
                let message = error.to_string();
                assert!(message.contains("write `auto` or `cpu`"), "{message}");
            }
            (Err(error), _) => panic!("auto fails: {error}"),
        }
    }
}
