//! Faults that break what all tests use: they run after the others, each alone.

mod blind;
mod clock;
mod cluster;
mod node;
mod operator;
mod prometheus;
mod takeover;
