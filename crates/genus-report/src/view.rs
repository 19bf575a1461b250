//! A run folder as the data of one page.

use crate::block::Section;
use crate::facts::{self, Header};
use crate::look::Look;
use crate::{curves, panels};
use genus_core::run::{RunDir, Summary};
use genus_core::{Error, Event, Result};
use serde::Serialize;

/// Everything that the template shows of a run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Page {
    /// The top.
    pub header: Header,
    /// The rest, in order; a section without material is not there.
    pub sections: Vec<Section>,
}

impl Page {
    /// Reads the folder. A training that has not ended has no summary; its curves and configuration are
    /// shown.
    pub(crate) fn read(run: &RunDir) -> Result<Self> {
        let config = run.config()?;
        let path = run.config_path();
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let finished = run.summary_path().exists();
        let summary = if finished { run.summary()? } else { Summary::default() };
        let events = if run.events_path().exists() { run.events()? } else { Vec::new() };
        let look = Look::new(&summary);

        let mut warnings = summary.warnings.clone();
        for e in &events {
            if let Event::Warning { message } = &e.event
                && !warnings.contains(message)
            {
                warnings.push(message.clone());
            }
        }
        let mut sections: Vec<Section> = Vec::new();
        sections.extend(facts::scores(&summary));
        sections.extend(curves::section(&events));
        match run.exhibits() {
            Ok(exhibits) => {
                for exhibit in &exhibits {
                    sections.extend(panels::section(&look, exhibit)?);
                }
            }
            // What else there is to be read is not lost with them.
            Err(e) => warnings.push(format!("samples and their like are not shown: {e}")),
        }
        sections.extend(facts::audit(&summary));
        sections.extend(facts::figures(&summary));
        sections.extend(facts::warnings(warnings));
        sections.push(facts::setup(&config, text, &summary));
        // Anchors are where readers go: an exhibit of somebody else may have the name of a section.
        for i in 1..sections.len() {
            let (before, rest) = sections.split_at_mut(i);
            while before.iter().any(|s| s.id == rest[0].id) {
                rest[0].id.push_str("-2");
            }
        }
        let header = facts::header(&config, &summary, finished);
        Ok(Self { header, sections })
    }
}
