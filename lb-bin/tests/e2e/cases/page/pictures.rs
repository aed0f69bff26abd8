//! The pictures of it in the documentation (`make pictures`).

use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use tokio::{net::TcpSocket, task::JoinHandle};

use super::{Page, balancer};
use crate::{
    Case, Lack,
    browser::{self, Browser},
    docker::{docker, output},
    engine::{self, Engine},
    images,
    scope::Scope,
};
