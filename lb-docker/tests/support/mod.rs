pub(crate) mod docker;
pub(crate) mod observer;
pub(crate) mod relay;
pub(crate) mod tls;
