//! Several real servers that hold the same data.

use std::path::Path;

use crate::{KitError, Server, eventually};

/// Nodes with raft storage, joined into one cluster. Every node forwards what only the active one can do.
pub struct Cluster {
    nodes: Vec<Server>,
}

impl Cluster {
    /// So many nodes with their files in `folder`, all unsealed; KV v2 is mounted at `secret/`.
    ///
    /// # Errors
    /// [`KitError`].
    pub async fn start(binary: &Path, folder: &Path, count: usize) -> Result<Self, KitError> {
        let mut first = Server::node(binary, &folder.join("node-0"), "node-0", &[])?;
        first.initialize().await?;
        let mut nodes = vec![first];
        for number in 1..count {
            let name = format!("node-{number}");
            let leaders: Vec<String> = nodes.iter().map(Server::address).collect();
            let mut node = Server::node(binary, &folder.join(&name), &name, &leaders)?;
            if let Some(leader) = nodes.first() {
                node.join(leader).await?;
            }
            nodes.push(node);
        }
        let cluster = Self { nodes };
        cluster.settled().await?;
        Ok(cluster)
    }

    /// All nodes, in the order they were started in.
    pub fn nodes(&self) -> &[Server] {
        &self.nodes
    }

    /// A node, to be killed or started again.
    pub fn node(&mut self, number: usize) -> Option<&mut Server> {
        self.nodes.get_mut(number)
    }

    /// The number of the active node.
    ///
    /// # Errors
    /// None becomes active.
    pub async fn active(&self) -> Result<usize, KitError> {
        eventually("a node to be active", || async {
            for (number, node) in self.nodes.iter().enumerate() {
                let health = node.api(None).ok()?.get("sys/health").await;
                if health.is_ok_and(|health| health.status.as_u16() == 200) {
                    return Some(number);
                }
            }
            None
        })
        .await
    }

    /// Waits until every node has a vote: before, the loss of one may be the loss of all.
    async fn settled(&self) -> Result<(), KitError> {
        let Some(first) = self.nodes.first() else { return Ok(()) };
        let root = first.root_api()?;
        eventually("every node to vote", || async {
            let raft = root.get("sys/storage/raft/configuration").await.ok()?;
            let servers = raft.json["data"]["config"]["servers"].as_array()?.clone();
            let voters = servers.iter().filter(|server| server["voter"] == true).count();
            (voters == self.nodes.len()).then_some(())
        })
        .await
    }
}
