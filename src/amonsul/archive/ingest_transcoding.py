"""Instances get one transfer syntax on their way in (option `IngestTranscoding`).

What cannot be transcoded is stored as it came: an instance is worth more than its transfer syntax.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from amonsul.blobs.spool import Spool, Spooled
from amonsul.dicom.scanner import DEFAULT_LIMITS, ScanLimits, scan
from amonsul.dicom.uids import transfer_syntax
from amonsul.errors import AmonsulError, StorageFull
from amonsul.imaging.codecs import Codecs
from amonsul.imaging.frames import has_pixel_data
from amonsul.imaging.transcode import TranscodeOptions, transcode

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IngestTranscoding:
    """Makes a file of another one, or gives back the same.

    Attributes:
        transfer_syntax_uid: that of the results.
        of_uncompressed: whether pixels that are not compressed are touched.
        of_compressed: whether compressed ones are.
        quality: of lossy transfer syntaxes.
        new_spool: makes a place for a result.
    """

    transfer_syntax_uid: str
    codecs: Codecs
    new_spool: Callable[[], Spool]
    of_uncompressed: bool = True
    of_compressed: bool = True
    quality: int = 90
    limits: ScanLimits = DEFAULT_LIMITS

    def __call__(self, spooled: Spooled) -> Spooled:
        """The file to be stored; takes `spooled` over if that is another one.

        Raises:
            StorageFull: there is no room for the result.
        """
        spool = self.new_spool()
        try:
            if not self._transcode(spooled, spool):
                spool.discard()
                return spooled
        except StorageFull:
            spool.discard()
            raise
        except AmonsulError as error:
            logger.info("an instance is stored as it came: %s", error)
            spool.discard()
            return spooled
        except BaseException:
            spool.discard()
            raise
        result = spool.finish()
        spooled.discard()
        return result

    def _transcode(self, spooled: Spooled, spool: Spool) -> bool:
        view = spooled.view()
        header = scan(view, self.limits)
        if header.transfer_syntax_uid == self.transfer_syntax_uid:
            return False
        is_compressed = transfer_syntax(header.transfer_syntax_uid).is_encapsulated
        if has_pixel_data(header.data_set) and not (self.of_compressed if is_compressed else self.of_uncompressed):
            return False
        options = TranscodeOptions(self.quality)
        return transcode(view, header, self.transfer_syntax_uid, spool, self.codecs, options).is_changed
