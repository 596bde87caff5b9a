//! The code that took work over: each stage's dependencies with their own lines of code.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::STAGES;
use crate::problem::Cause;
use crate::render::html::{escape, thousands};
use crate::upstream::Upstream;

/// A table of all packages that a stage links and `client-core` does not, for this platform.
///
/// # Errors
/// What cargo or the sources say.
pub fn table(upstream: &Upstream) -> Result<String, Cause> {
    let shared = upstream.dependencies("client-core")?;
    let mut rows = BTreeMap::<(String, String), (usize, [bool; 3])>::new();
    let mut sums = [0; 3];
    for (n, stage) in STAGES.iter().enumerate() {
        for package in upstream.dependencies(stage)? {
            if shared.iter().any(|s| s.manifest == package.manifest) || package.is_member {
                continue;
            }
            let key = (package.name.clone(), package.version.clone());
            let lines = match rows.get(&key) {
                Some((lines, _)) => *lines,
                None => package.code_lines()?,
            };
            sums[n] += lines;
            rows.entry(key).or_insert((lines, [false; 3])).1[n] = true;
        }
    }
    let mut out = String::from(
        "<div class=\"w-table\">\n<table>\n<thead><tr><th scope=\"col\">package</th>\
         <th scope=\"col\">version</th><th scope=\"col\" class=\"n\">lines of code</th>\
         <th scope=\"col\" class=\"n\">stage 1</th><th scope=\"col\" class=\"n\">stage 2</th>\
         <th scope=\"col\" class=\"n\">stage 3</th></tr></thead>\n<tbody>\n",
    );
    for ((name, version), (lines, used)) in &rows {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"n\">{}</td>",
            escape(name),
            escape(version),
            thousands(*lines as u64)
        );
        for used in used {
            let _ = write!(out, "<td class=\"n\">{}</td>", if *used { "uses it" } else { "" });
        }
        out.push_str("</tr>\n");
    }
    out.push_str("<tr class=\"sum\"><th scope=\"row\">sum</th><td></td><td></td>");
    for sum in sums {
        let _ = write!(out, "<td class=\"n\">{}</td>", thousands(sum as u64));
    }
    out.push_str("</tr>\n</tbody>\n</table>\n</div>\n");
    Ok(out)
}
