//! A run folder as the data of one page.

use crate::block::Section;
use crate::facts::{self, Header};
use crate::look::Look;
use crate::{chain, curves, exhibits, order};
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
    pub(crate) fn of(run: &RunDir) -> Result<Self> {
        let config = run.config()?;
        let path = run.config_path();
        let text = std::fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let finished = run.summary_path().exists();
        let summary = if finished { run.summary()? } else { Summary::default() };
        let events = if run.events_path().exists() { run.events()? } else { Vec::new() };
        let state = run.exhibits()?;
        let look = Look::new(&summary, &state);
        let kind = facts::kind_name(&summary);

        let mut warnings = summary.warnings.clone();
        for e in &events {
            if let Event::Warning { message } = &e.event
                && !warnings.contains(message)
            {
                warnings.push(message.clone());
            }
        }
        let sections = [
            facts::scores(&summary),
            curves::section(&events),
            exhibits::samples(&look, &state)?,
            order::by_class(&look, &state, &summary.classes)?,
            exhibits::neighbours(&look, &state)?,
            order::drawn(&look, &state)?,
            order::completions(&look, &state)?,
            order::receptive(&look, &state)?,
            exhibits::reconstructions(&look, &state)?,
            exhibits::interpolations(&look, &state)?,
            chain::moves(&look, &state, &summary.classes)?,
            chain::filters(&look, &state)?,
            exhibits::latent(&state, &summary.classes),
            exhibits::score_histogram(&state, &kind),
            exhibits::extremes(&look, &state, &kind)?,
            facts::audit(&summary),
            facts::figures(&summary),
            facts::warnings(warnings),
            Some(facts::setup(&config, text, &summary)),
        ];
        let header = facts::header(&config, &summary, finished);
        Ok(Self { header, sections: sections.into_iter().flatten().collect() })
    }
}
