"""An upload: a file that comes in parts, in whatever order, and is joined when it is complete. Pure."""

from dataclasses import dataclass, field
from datetime import timedelta

ID_PREFIX, PART_PREFIX = "upload", "part"
PENDING, COMPLETED, CANCELLED, EXPIRED = "pending", "completed", "cancelled", "expired"
# Begins the keys of all parts in the data bucket; S3 deletes them after a day. No organization begins with a dot.
PARTS = ".uploads/"
LASTING = timedelta(hours=1)
# A function takes 6 MB, of which base64 and the form leave 4.6 MB.
PART_BYTES = 4 * 1024 * 1024
# Joined and checked by a function within 15 minutes, in constant memory.
MOST_BYTES = 1024 * 1024 * 1024
# As many as one request lists.
MOST_PARTS = 1000


@dataclass(frozen=True)
class Upload:
    """One upload. bytes: of the whole file; expires_after: seconds that the file lives; part_ids, md5 (lower-case hex)
    and file_id: what it was completed with, and into; `writes` counts writes."""

    id: str
    organization_id: str
    filename: str
    purpose: str
    bytes: int
    created_at: str
    expires_at: str
    expires_after: int | None = None
    status: str = PENDING
    part_ids: list[str] = field(default_factory=list)
    md5: str | None = None
    file_id: str | None = None
    writes: int = 1

    @property
    def folder(self) -> str:
        """What the S3 keys of its parts begin with."""
        return f"{PARTS}{self.organization_id}/{self.id}/"

    def status_at(self, now: str) -> str:
        return EXPIRED if self.status == PENDING and now >= self.expires_at else self.status
