//! What an installed Chandler does on a cluster: one file a subject, each test in a namespace of its
//! own. One program, since linking takes longer than many a test.

mod answers;
mod blockers;
mod cache;
mod drain;
mod drift;
mod external;
mod gpus;
mod hpa;
mod life;
mod placing;
mod quiet;
mod rollouts;
mod scale;
mod sleep;
mod sources;
mod stores;
mod upgrades;
