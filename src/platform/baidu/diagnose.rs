//! Why a captured push from Baidu does not open.

use super::Application;
use crate::platform::diagnose::{Diagnose, Diagnosis};
use crate::platform::push::{Pushes, RawPush};
use crate::platform::sorted_envelope::diagnose::{Subject, diagnose};

impl Diagnose for Application {
    fn diagnose(&self, raw: &RawPush) -> Diagnosis {
        let subject = Subject {
            sealing: &self.of.sealing,
            id_setting: "tp_id",
            id: &self.of.tp_id,
            id_member: "tpAppId",
            strict_tail: self.of.strict_tail,
            tail_setting: Some("strict_tail"),
        };
        diagnose(raw, &subject, self.open(raw))
    }
}
