//! What the measuring programs share.

pub mod attacks;
pub mod contest;
pub mod correctness;
pub mod load;
pub mod process;
pub mod simulation;
pub mod stats;
