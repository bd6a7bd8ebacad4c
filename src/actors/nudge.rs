//! What each actor does when it is told to look into the journal.

use super::{
    alert_receiver::AlertReceiver, calibration_master::CalibrationMaster,
    fsc_uploader::FscUploader, gp1_instance::Gp1Instance, image_provider::ImageProvider,
    messages::Nudge, product_maker::ProductMaker, pump::wake, status_collector::StatusCollector,
    trigger_manager::TriggerManager, web::WebActor,
};
use actix::Handler;

macro_rules! looks_again {
    ($($actor:ty),*) => {$(
        impl Handler<Nudge> for $actor {
            type Result = ();

            fn handle(&mut self, _nudge: Nudge, context: &mut Self::Context) {
                wake(self, context, None);
            }
        }
    )*};
}

/// Their work does not come out of the journal: the network and the watched directory tell them.
macro_rules! has_nothing_to_look_for {
    ($($actor:ty),*) => {$(
        impl Handler<Nudge> for $actor {
            type Result = ();

            fn handle(&mut self, _nudge: Nudge, _context: &mut Self::Context) {}
        }
    )*};
}

looks_again!(
    TriggerManager,
    Gp1Instance,
    ProductMaker,
    FscUploader,
    CalibrationMaster,
    StatusCollector
);
has_nothing_to_look_for!(AlertReceiver, ImageProvider, WebActor);
