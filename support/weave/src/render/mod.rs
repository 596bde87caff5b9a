//! From sources to the HTML that stands in the pages.
//!
//! Two rules for every block, or mdBook's Markdown reader would cut it: no blank line inside, and
//! no line that starts with blanks. Braces are written as character references, so that mdBook's
//! own directives are never found in shown code.

pub mod bars;
pub mod code;
pub mod diff;
pub mod html;
pub mod lanes;
pub mod listing;
pub mod number;
pub mod pairs;
pub mod pick;
pub mod step;
