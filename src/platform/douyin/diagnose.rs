//! Why a captured push from Douyin does not open.

use super::Application;
use crate::platform::diagnose::{Diagnose, Diagnosis};
use crate::platform::push::{Pushes, RawPush};
use crate::platform::sorted_envelope::diagnose::{Subject, diagnose};

impl Diagnose for Application {
    fn diagnose(&self, raw: &RawPush) -> Diagnosis {
        let subject = Subject {
            sealing: &self.of.sealing,
            id_setting: "component_appid",
            id: &self.of.component_appid,
            id_member: "TpAppId",
            strict_tail: true,
            tail_setting: None,
        };
        diagnose(raw, &subject, self.open(raw))
    }
}
