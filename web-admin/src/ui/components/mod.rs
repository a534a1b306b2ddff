//! What the pages are made of.

pub mod chart;
pub mod copy;
pub mod dialog;
pub mod form;
pub mod icon;
pub mod load;
pub mod page;
pub mod picture;
pub mod table;
pub mod tabs;
pub mod toast;
