//! A directory of images as an argument in a command that users are told to type.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The directory, so that a shell takes it for one word and for nothing else. A name that cannot
/// be shown cannot be typed either.
pub fn as_argument(directory: &Path) -> String {
    let quoted = shlex::bytes::try_quote(directory.as_os_str().as_bytes());
    quoted.map_or_else(
        |_| directory.display().to_string(),
        |quoted| String::from_utf8_lossy(&quoted).into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shells_take_it_for_one_word() {
        let typed = |path: &str| as_argument(Path::new(path));
        assert_eq!(typed("/scratch/job-1.images"), "/scratch/job-1.images");
        for path in ["my images", "$HOME; rm *", "it's", "\"", "-x y", ""] {
            assert_eq!(shlex::split(&typed(path)), Some(vec![path.to_owned()]), "{path}");
        }
    }
}
