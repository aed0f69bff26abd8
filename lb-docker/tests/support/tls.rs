//! An engine's socket behind TLS, with certificates made for the occasion.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};

/// A directory with ca.pem, cert.pem and key.pem for a client, and with
/// server.pem and server.key.
pub(crate) fn certificates() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let openssl = |arguments: &str| {
        let mut command = Command::new("openssl");
        let command = command.args(arguments.split(' ')).current_dir(directory.path());
        let output = command.output().expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(&format!("{new} -x509 -subj /CN=authority -keyout ca.key -out ca.pem"));
    let signed = format!("{new} -x509 -CA ca.pem -CAkey ca.key -addext basicConstraints=CA:FALSE");
    let name = "-subj /CN=engine -addext subjectAltName=IP:127.0.0.1";
    openssl(&format!("{signed} {name} -keyout server.key -out server.pem"));
    openssl(&format!("{signed} -subj /CN=client -keyout key.pem -out cert.pem"));
    directory
}

/// Serves the socket over TLS to who has a certificate; its port.
pub(crate) async fn serve(certificates: &Path, socket: PathBuf) -> u16 {
    let file = |name| certificates.join(name);
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(file("ca.pem")).expect("a certificate"))
        .expect("a root");
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
    let chain = vec![CertificateDer::from_pem_file(file("server.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .expect("a configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, socket) = (acceptor.clone(), socket.clone());
            tokio::spawn(async move {
                let mut client = acceptor.accept(stream).await?;
                let mut engine = UnixStream::connect(socket).await?;
                copy_bidirectional(&mut client, &mut engine).await
            });
        }
    });
    port
}
