//! `version`: the version of a dependency that the lock file names.

use super::{Chapter, Expanded, Weaver};
use crate::directive::Directive;
use crate::render::html::escape;

/// `{{#version tokio}}`, or `{{#version mio of=stage2-mio}}` where several are locked.
pub fn version(weaver: &Weaver, directive: &Directive, _: Chapter<'_>) -> Expanded {
    directive.allow(&["of"])?;
    Ok(escape(&weaver.upstream.version(&directive.subject, directive.get("of"))?))
}
