//! The store on a real directory, with real events, and with a disk that fails.

mod crash;
mod fixture;
mod following;
mod outages;
mod places;
mod purging;
mod skimming;
mod sync_failure;
mod torn;
mod writing;
