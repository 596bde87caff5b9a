//! One tour of a folder serves at a time, and one builds its book.
//!
//! Its rules: what counts is the system's lock on a file, which ends with the process however it ends,
//! so that no file has to be removed by hand; the file's text only tells who holds the lock.

use std::{
    error::Error,
    fs::{self, File, TryLockError},
    io::{Read, Seek, Write},
    path::Path,
    process,
};

/// A folder for the locks, below the workspace's root; it is cargo's, and ignored by git.
const FOLDER: &str = "target/tour";

/// A lock that is held until this is dropped.
pub(crate) struct Claim(File);

impl Claim {
    /// Claims the right to serve the book of this workspace.
    ///
    /// # Errors
    ///
    /// If another process has it: which, and where its book is.
    pub(crate) fn to_serve(root: &Path) -> Result<Self, Box<dyn Error>> {
        let mut file = open(root, "serving")?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            let mut holder = String::new();
            // On Windows a locked file cannot be read: then less is told.
            let _ = file.read_to_string(&mut holder);
            return Err(taken(&holder).into());
        }
        // A file system without locks leaves everybody alone.
        let mut claim = Claim(file);
        claim.write(&format!("{}\n", process::id()))?;
        Ok(claim)
    }

    /// Claims the folder of the built book, and waits for whoever builds in it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn to_build(root: &Path, wait: impl FnOnce()) -> Result<Self, Box<dyn Error>> {
        let file = open(root, "building")?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            wait();
            file.lock()?;
        }
        Ok(Claim(file))
    }

    /// Tells others where the book is.
    pub(crate) fn serves_at(&mut self, url: &str) -> Result<(), Box<dyn Error>> {
        self.write(&format!("{}\n{url}\n", process::id()))
    }

    fn write(&mut self, text: &str) -> Result<(), Box<dyn Error>> {
        self.0.set_len(0)?;
        self.0.rewind()?;
        Ok(self.0.write_all(text.as_bytes())?)
    }
}

fn open(root: &Path, name: &str) -> Result<File, Box<dyn Error>> {
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    Ok(options.open(folder.join(name))?)
}

/// What is said of the process that holds the lock.
fn taken(holder: &str) -> String {
    let mut lines = holder.lines();
    let who =
        lines.next().map_or_else(|| "another process".into(), |id| format!("process {id}"));
    match lines.next() {
        Some(url) => format!("{who} already serves the book of this folder, at {url}"),
        None => format!("{who} is already on its way to serve the book of this folder"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_holds_the_lock_is_told_as_far_as_it_is_known() {
        assert!(taken("17\nhttp://localhost:3000/\n").ends_with("at http://localhost:3000/"));
        assert!(taken("17\n").starts_with("process 17 is already on its way"));
        assert!(taken("").starts_with("another process is already"));
    }
}
