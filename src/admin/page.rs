//! The status page: one file, no assets from elsewhere, asks the API every second.

pub(super) const PAGE: &str = include_str!("page.html");
