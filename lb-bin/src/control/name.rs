use std::{
    fmt, fs, io,
    os::unix::{
        fs::{FileTypeExt, PermissionsExt},
        net::{self, SocketAddr},
    },
    path::PathBuf,
};

use tokio::net::{UnixListener, UnixStream};

/// What a control socket is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    File(PathBuf),
    /// Of Linux: in no file system, known within one network namespace, and gone
    /// with the process.
    Abstract(String),
}

impl Name {
    /// The one that is used where nobody names one.
    pub(crate) fn usual() -> Option<Self> {
        cfg!(target_os = "linux").then(|| Self::Abstract("lb-bin".into()))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        const FORM: &str = "write a path such as /run/lb-bin.sock, @NAME, or off";
        let name = match text.strip_prefix('@') {
            Some("") => return Err(FORM.into()),
            Some(name) => Self::Abstract(name.into()),
            None if text.contains('/') => Self::File(text.into()),
            None => return Err(FORM.into()),
        };
        name.address().map(|_| name).map_err(|error| format!("{error}; {FORM}"))
    }

    pub(crate) async fn connect(&self) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&self.address()?.into()).await
    }

    /// Listens. A file that a process has left behind is replaced.
    pub(crate) async fn listen(&self) -> io::Result<UnixListener> {
        let bound = net::UnixListener::bind_addr(&self.address()?);
        let listener = match (bound, self) {
            (Err(error), Self::File(path)) if error.kind() == io::ErrorKind::AddrInUse => {
                let abandoned = fs::symlink_metadata(path)?.file_type().is_socket()
                    && self.connect().await.is_err_and(|why| is_nobody(&why));
                if !abandoned {
                    return Err(error);
                }
                fs::remove_file(path)?;
                net::UnixListener::bind_addr(&self.address()?)?
            }
            (bound, _) => bound?,
        };
        if let Self::File(path) = self {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        }
        listener.set_nonblocking(true)?;
        UnixListener::from_std(listener)
    }

    fn remove(&self) {
        if let Self::File(path) = self
            && let Err(error) = fs::remove_file(path)
        {
            tracing::debug!(%error, "{self} can't be removed");
        }
    }

    #[cfg(target_os = "linux")]
    fn address(&self) -> io::Result<SocketAddr> {
        use std::os::linux::net::SocketAddrExt;
        match self {
            Self::File(path) => SocketAddr::from_pathname(path),
            Self::Abstract(name) => SocketAddr::from_abstract_name(name),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn address(&self) -> io::Result<SocketAddr> {
        match self {
            Self::File(path) => SocketAddr::from_pathname(path),
            Self::Abstract(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "only Linux has names that are not files",
            )),
        }
    }
}

/// A name, and whether it is for us to see that no file of it stays behind.
pub(crate) struct Claim {
    pub(crate) name: Name,
    /// Not where another process listens at the same socket.
    pub(crate) ours: bool,
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.ours {
            self.name.remove();
        }
    }
}

/// Whether an attempt to connect failed because nobody is there.
pub(crate) fn is_nobody(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_path_or_begins_with_an_at() {
        assert_eq!(Name::parse("/run/x").unwrap(), Name::File("/run/x".into()));
        assert_eq!(Name::parse("@x/y").unwrap(), Name::Abstract("x/y".into()));
        for wrong in ["", "@", "name", &format!("/{}", "x".repeat(200))] {
            assert!(Name::parse(wrong).unwrap_err().contains("write a path such as"), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_file_is_for_its_owner_and_replaced_once_it_is_abandoned() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let name = Name::File(path.clone());
        let first = name.listen().await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(name.listen().await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        name.connect().await.unwrap();
        drop(first);
        assert!(is_nobody(&name.connect().await.unwrap_err()));
        let second = name.listen().await.unwrap();
        drop(Claim { name: name.clone(), ours: false });
        name.connect().await.unwrap();
        drop(Claim { name: name.clone(), ours: true });
        assert!(!path.exists());
        assert!(is_nobody(&name.connect().await.unwrap_err()));
        drop(second);
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let name = Name::File(file.path().into());
        assert_eq!(name.listen().await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(file.path().exists());
    }
}
