//! An engine's socket behind TLS, with certificates made for the occasion.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};

/// A directory with ca.pem, cert.pem and key.pem for a client, and with
/// server.pem and server.key.
pub(crate) fn certificates() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let write = |name: &str, pem: String| {
        fs::write(directory.path().join(name), pem).expect("a file");
    };
    let mut authority = params("authority", &[]);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    write("ca.pem", authority.self_signed(&key).expect("a certificate").pem());
    let authority = Issuer::new(authority, key);
    let signed = |name, addresses: &[&str], certificate_file, key_file| {
        let key = KeyPair::generate().expect("a key");
        let certificate = params(name, addresses).signed_by(&key, &authority);
        write(certificate_file, certificate.expect("a certificate").pem());
        write(key_file, key.serialize_pem());
    };
    signed("engine", &["127.0.0.1"], "server.pem", "server.key");
    signed("client", &[], "cert.pem", "key.pem");
    directory
}

fn params(name: &str, addresses: &[&str]) -> CertificateParams {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(addresses).expect("addresses");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Serves the socket over TLS to who has a certificate; its port.
pub(crate) async fn serve(certificates: &Path, socket: PathBuf) -> u16 {
    let file = |name| certificates.join(name);
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(file("ca.pem")).expect("a certificate"))
        .expect("a root");
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = verifier.build().expect("a verifier");
    let chain = vec![CertificateDer::from_pem_file(file("server.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(file("server.key")).expect("a key");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
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
