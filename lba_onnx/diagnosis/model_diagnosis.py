"""What a diagnosis found, and its JSON form."""

from dataclasses import dataclass
from typing import Any

from lba_onnx.diagnosis.advice import sentence
from lba_onnx.diagnosis.layer_diagnosis import LayerDiagnosis


@dataclass(frozen=True)
class Diagnosis:
    """Why a converted model differs from its reference, layer by layer.

    Attributes:
        layers: The converted nodes, in the model's order.
        samples: How many samples ran through both models.
        samples_alone: How many were used for `output_sqnr_alone`; 0 where it was skipped.
        is_corrected: Whether the converted model's weights are not the reference's.
    """

    layers: tuple[LayerDiagnosis, ...]
    samples: int
    samples_alone: int
    is_corrected: bool

    @property
    def ranking(self) -> tuple[LayerDiagnosis, ...]:
        """The layers, the one that hurts most first."""
        return tuple(sorted(self.layers, key=lambda layer: layer.harm, reverse=True))

    def sentences(self, count: int = 3) -> tuple[str, ...]:
        """Return a sentence on each of the layers that hurt most: the main cause, and what would help.

        Args:
            count: How many layers.
        """
        return tuple(sentence(layer) for layer in self.ranking[:count])

    def to_json(self) -> dict[str, Any]:
        """Return all of it as a JSON object; "layers" come in the order of `ranking`."""
        return {
            "samples": self.samples,
            "samples_alone": self.samples_alone,
            "is_corrected": self.is_corrected,
            "layers": [layer.to_json() for layer in self.ranking],
            "sentences": list(self.sentences()),
        }
