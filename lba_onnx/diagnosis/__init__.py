"""Which layer of a converted model hurts, why, and the fewest layers to widen until a condition holds."""

from lba_onnx.diagnosis.debugging import debug
from lba_onnx.diagnosis.layer_diagnosis import LayerDiagnosis
from lba_onnx.diagnosis.model_diagnosis import Diagnosis
from lba_onnx.diagnosis.promotion import promote_until
from lba_onnx.diagnosis.promotion_result import Promotion
from lba_onnx.observation.event_rates import EventRates

__all__ = ["Diagnosis", "EventRates", "LayerDiagnosis", "Promotion", "debug", "promote_until"]
