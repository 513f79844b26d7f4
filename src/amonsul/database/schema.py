"""The tables of the index, as they are now.

A table per level. `tags` is the complete JSON object of its main DICOM tags, as answered; the columns named after
attributes hold the same text folded by `dicom.matching.normalize`, for searching only (UIDs, dates, times and numbers
fold to themselves). Sizes and numbers of what is below are kept on the row by each write that changes them: the
`dicom_` ones count the DICOM files alone, the others all attachments. Rows name their parent by the number of its row.

`statistics` has one row; its counters number the changes and the exports, so that they are committed in order.
Times are `YYYYMMDDTHHMMSS`, UTC.

`last_store` is the number of the change that the last store into a resource ended with; `is_stable` tells that there
was none for a while, see `database.stability`.

`outbox` has changes that wait to be told to `webhooks`, see `database.outbox`.

`condemned` has series that were removed while rows of their instances are still there, see `database.condemned`.

`tag_indexes` names attributes that have an index though no column, `tag_values` is what it holds, and `tag_asks` counts
how often others were searched for; see `database.tag_indexes`. `statistics` repeats which they are for whoever stores.

A job is a row of `jobs`; its arguments are apart, so that a checkpoint does not write them again. `job_workers` has a
row for each process that runs jobs, `job_outputs` names the blobs that jobs made; see `jobs.engine`.

`modalities` keeps remote DICOM systems: those of the empty scope for good, those of another scope for one run of the
server, over what its configuration says (there, no value is none). `queries` are searches at modalities with their
answers; the oldest make room for new ones. So do `commitments`: the storage commitments that we asked others for.

A change here goes together with a step in `migrations`.
"""

from __future__ import annotations

from amonsul.database.dialects import Dialect

VERSION = 1

SIZES = ("disk_size", "uncompressed_size", "dicom_disk_size", "dicom_uncompressed_size")

TEXT_INDEXES: dict[str, tuple[str, ...]] = {
    "patients": ("patient_id", "patient_name"),
    "studies": ("accession_number", "study_description", "referring_physician_name"),
    "series": ("series_description",),
}
"""Columns found by any part of their text, through trigrams."""

_TABLES = """
CREATE TABLE signatures (
    id {row_id},
    signature {text} NOT NULL UNIQUE
);

CREATE TABLE patients (
    id {row_id},
    orthanc_id {text} NOT NULL UNIQUE,
    tags TEXT NOT NULL,
    signature_row {integer} NOT NULL,
    last_update {text} NOT NULL,
    is_stable {integer} NOT NULL DEFAULT 0,
    last_store {integer} NOT NULL DEFAULT 0,
    is_protected {integer} NOT NULL DEFAULT 0,
    recycling_order {integer} NOT NULL,
    number_of_studies {integer} NOT NULL DEFAULT 0,
    number_of_series {integer} NOT NULL DEFAULT 0,
    number_of_instances {integer} NOT NULL DEFAULT 0,
    disk_size {integer} NOT NULL DEFAULT 0,
    uncompressed_size {integer} NOT NULL DEFAULT 0,
    dicom_disk_size {integer} NOT NULL DEFAULT 0,
    dicom_uncompressed_size {integer} NOT NULL DEFAULT 0,
    patient_id {text},
    patient_name {text},
    patient_birth_date {text},
    patient_sex {text}
);
CREATE INDEX patients_by_patient_id ON patients (patient_id{row});
CREATE INDEX patients_by_patient_name ON patients (patient_name{row});
CREATE INDEX patients_by_patient_birth_date ON patients (patient_birth_date{nulls_first}{row});
CREATE INDEX patients_by_recycling_order ON patients (is_protected, recycling_order);
CREATE INDEX patients_not_stable ON patients (id) WHERE is_stable = 0;

CREATE TABLE studies (
    id {row_id},
    orthanc_id {text} NOT NULL UNIQUE,
    patient_row {integer} NOT NULL,
    tags TEXT NOT NULL,
    signature_row {integer} NOT NULL,
    last_update {text} NOT NULL,
    is_stable {integer} NOT NULL DEFAULT 0,
    last_store {integer} NOT NULL DEFAULT 0,
    number_of_series {integer} NOT NULL DEFAULT 0,
    number_of_instances {integer} NOT NULL DEFAULT 0,
    disk_size {integer} NOT NULL DEFAULT 0,
    uncompressed_size {integer} NOT NULL DEFAULT 0,
    dicom_disk_size {integer} NOT NULL DEFAULT 0,
    dicom_uncompressed_size {integer} NOT NULL DEFAULT 0,
    modalities_in_study {text} NOT NULL DEFAULT '',
    sop_classes_in_study {text} NOT NULL DEFAULT '',
    study_instance_uid {text},
    study_date {text},
    study_time {text},
    study_id {text},
    accession_number {text},
    study_description {text},
    referring_physician_name {text},
    institution_name {text}
);
CREATE INDEX studies_by_patient ON studies (patient_row, id, orthanc_id);
CREATE INDEX studies_by_study_instance_uid ON studies (study_instance_uid);
CREATE INDEX studies_by_study_date ON studies (study_date{nulls_first}{row});
CREATE INDEX studies_by_study_id ON studies (study_id{row});
CREATE INDEX studies_by_accession_number ON studies (accession_number{row});
CREATE INDEX studies_by_study_description ON studies (study_description{row});
CREATE INDEX studies_by_referring_physician_name ON studies (referring_physician_name{row});
CREATE INDEX studies_not_stable ON studies (id) WHERE is_stable = 0;

CREATE TABLE series (
    id {unique_row_id},
    orthanc_id {text} NOT NULL UNIQUE,
    study_row {integer} NOT NULL,
    tags TEXT NOT NULL,
    signature_row {integer} NOT NULL,
    last_update {text} NOT NULL,
    is_stable {integer} NOT NULL DEFAULT 0,
    last_store {integer} NOT NULL DEFAULT 0,
    remote_aet {text} NOT NULL,
    expected_number_of_instances {integer},
    number_of_instances {integer} NOT NULL DEFAULT 0,
    disk_size {integer} NOT NULL DEFAULT 0,
    uncompressed_size {integer} NOT NULL DEFAULT 0,
    dicom_disk_size {integer} NOT NULL DEFAULT 0,
    dicom_uncompressed_size {integer} NOT NULL DEFAULT 0,
    sop_classes {text} NOT NULL DEFAULT '',
    series_instance_uid {text},
    modality {text},
    series_date {text},
    series_time {text},
    series_number {text},
    series_description {text},
    body_part_examined {text},
    station_name {text},
    manufacturer {text},
    protocol_name {text},
    performed_procedure_step_start_date {text},
    performed_procedure_step_start_time {text}
);
CREATE INDEX series_by_study ON series (study_row, id, orthanc_id);
CREATE INDEX series_by_series_instance_uid ON series (series_instance_uid);
CREATE INDEX series_by_modality ON series (modality{row});
CREATE INDEX series_by_series_date ON series (series_date{nulls_first}{row});
CREATE INDEX series_by_series_description ON series (series_description{row});
CREATE INDEX series_not_stable ON series (id) WHERE is_stable = 0;

CREATE TABLE instances (
    id {row_id},
    orthanc_id {text} NOT NULL UNIQUE,
    series_row {integer} NOT NULL,
    tags TEXT NOT NULL,
    signature_row {integer} NOT NULL,
    metadata TEXT NOT NULL,
    index_in_series {integer},
    transfer_syntax_uid {text} NOT NULL,
    sop_class_uid {text} NOT NULL,
    sop_instance_uid {text} NOT NULL,
    instance_number {text}
);
CREATE INDEX instances_by_series ON instances (series_row, id, orthanc_id);
CREATE INDEX instances_by_sop_instance_uid ON instances (sop_instance_uid);

CREATE TABLE condemned (
    series_row {plain_row_id}
);

CREATE TABLE tag_indexes (
    tag {plain_row_id},
    is_ready {integer} NOT NULL DEFAULT 0
);

CREATE TABLE tag_values (
    tag {integer} NOT NULL,
    value {text} NOT NULL,
    level {integer} NOT NULL,
    resource_row {integer} NOT NULL,
    PRIMARY KEY (tag, value, level, resource_row)
){clustered};
CREATE INDEX tag_values_by_resource ON tag_values (resource_row, level, tag, value);

CREATE TABLE tag_asks (
    tag {plain_row_id},
    asks {integer} NOT NULL
);

CREATE TABLE headers (
    instance_row {plain_row_id},
    header {blob} NOT NULL
);

CREATE TABLE attachments (
    level {integer} NOT NULL,
    resource_row {integer} NOT NULL,
    content_type {integer} NOT NULL,
    uuid {text} NOT NULL UNIQUE,
    size {integer} NOT NULL,
    md5 {text} NOT NULL,
    compressed_size {integer} NOT NULL,
    compressed_md5 {text} NOT NULL,
    compression {integer} NOT NULL,
    revision {integer} NOT NULL DEFAULT 0,
    custom_data {blob},
    PRIMARY KEY (level, resource_row, content_type)
){clustered};

CREATE TABLE tombstones (
    uuid {text} PRIMARY KEY
){clustered};

CREATE TABLE metadata (
    level {integer} NOT NULL,
    resource_row {integer} NOT NULL,
    number {integer} NOT NULL,
    value {blob} NOT NULL,
    revision {integer} NOT NULL,
    PRIMARY KEY (level, resource_row, number)
){clustered};
CREATE INDEX metadata_by_number ON metadata (level, number, resource_row);

CREATE TABLE labels (
    level {integer} NOT NULL,
    resource_row {integer} NOT NULL,
    label {text} NOT NULL,
    PRIMARY KEY (level, resource_row, label)
){clustered};
CREATE INDEX labels_by_label ON labels (label, level, resource_row);

CREATE TABLE changes (
    sequence {plain_row_id},
    change_type {integer} NOT NULL,
    level {integer} NOT NULL,
    resource_row {integer} NOT NULL,
    orthanc_id {text} NOT NULL,
    date {text} NOT NULL
);
CREATE INDEX changes_by_resource ON changes (resource_row, level);

CREATE TABLE exports (
    sequence {plain_row_id},
    level {integer} NOT NULL,
    orthanc_id {text} NOT NULL,
    remote_modality {text} NOT NULL,
    patient_id {text} NOT NULL,
    study_instance_uid {text} NOT NULL,
    series_instance_uid {text} NOT NULL,
    sop_instance_uid {text} NOT NULL,
    date {text} NOT NULL
);

CREATE TABLE outbox (
    sequence {plain_row_id},
    change_type {integer} NOT NULL,
    level {integer} NOT NULL,
    orthanc_id {text} NOT NULL,
    date {text} NOT NULL
);

CREATE TABLE webhooks (
    name {text} PRIMARY KEY,
    told {integer} NOT NULL,
    failures {integer} NOT NULL DEFAULT 0,
    owner {text} NOT NULL DEFAULT '',
    lease {integer} NOT NULL DEFAULT 0
){clustered};

CREATE TABLE properties (
    name {text} PRIMARY KEY,
    value TEXT NOT NULL
){clustered};

CREATE TABLE statistics (
    id {plain_row_id},
    patients {integer} NOT NULL DEFAULT 0,
    studies {integer} NOT NULL DEFAULT 0,
    series {integer} NOT NULL DEFAULT 0,
    instances {integer} NOT NULL DEFAULT 0,
    disk_size {integer} NOT NULL DEFAULT 0,
    uncompressed_size {integer} NOT NULL DEFAULT 0,
    last_change {integer} NOT NULL DEFAULT 0,
    last_export {integer} NOT NULL DEFAULT 0,
    indexed_tags TEXT NOT NULL DEFAULT ''
);
INSERT INTO statistics (id) VALUES (1);

CREATE TABLE jobs (
    id {row_id},
    job_id {text} NOT NULL UNIQUE,
    kind {text} NOT NULL,
    version {integer} NOT NULL,
    priority {integer} NOT NULL,
    user_data TEXT,
    state {text} NOT NULL,
    wish {text} NOT NULL DEFAULT '',
    done {integer} NOT NULL DEFAULT 0,
    total {integer} NOT NULL DEFAULT 0,
    checkpoint TEXT,
    content TEXT NOT NULL,
    error_code {integer} NOT NULL DEFAULT 0,
    error_message TEXT NOT NULL DEFAULT '',
    error_details TEXT NOT NULL DEFAULT '',
    error_payload TEXT,
    created_at {text} NOT NULL,
    completed_at {text},
    ended {integer},
    runtime_ms {integer} NOT NULL DEFAULT 0,
    attempt {integer} NOT NULL DEFAULT 0,
    max_attempts {integer} NOT NULL DEFAULT 1,
    retry_after_ms {integer} NOT NULL DEFAULT 0,
    takeovers {integer} NOT NULL DEFAULT 0,
    submitter {text} NOT NULL,
    owner {text},
    fence {integer} NOT NULL DEFAULT 0
);
CREATE INDEX jobs_by_state ON jobs (state, priority DESC, id);
CREATE INDEX jobs_by_ended ON jobs (ended);

CREATE TABLE job_arguments (
    job_row {plain_row_id},
    arguments TEXT NOT NULL
);

CREATE TABLE job_outputs (
    job_row {integer} NOT NULL,
    name {text} NOT NULL,
    uuid {text} NOT NULL UNIQUE,
    size {integer} NOT NULL,
    media_type {text} NOT NULL,
    filename TEXT NOT NULL,
    sequence {integer} NOT NULL,
    PRIMARY KEY (job_row, name)
){clustered};

CREATE TABLE job_workers (
    worker {text} PRIMARY KEY,
    place {text} NOT NULL,
    beat {integer} NOT NULL
){clustered};

CREATE TABLE modalities (
    scope {text} NOT NULL,
    name {text} NOT NULL,
    value TEXT,
    PRIMARY KEY (scope, name)
){clustered};

CREATE TABLE queries (
    id {row_id},
    query_id {text} NOT NULL UNIQUE,
    modality {text} NOT NULL,
    level {integer} NOT NULL,
    query TEXT NOT NULL,
    number_of_answers {integer} NOT NULL
);

CREATE TABLE query_answers (
    query_row {integer} NOT NULL,
    number {integer} NOT NULL,
    answer {blob} NOT NULL,
    PRIMARY KEY (query_row, number)
){clustered};

CREATE TABLE commitments (
    id {row_id},
    transaction_uid {text} NOT NULL UNIQUE,
    remote_aet {text} NOT NULL,
    request TEXT NOT NULL,
    report TEXT
)
"""


def statements(dialect: Dialect) -> list[str]:
    """What makes the tables in an empty database."""
    sqlite = dialect.name == "sqlite"
    tables = _TABLES.format(
        row_id=dialect.row_id,
        unique_row_id="INTEGER PRIMARY KEY AUTOINCREMENT" if sqlite else dialect.row_id,
        plain_row_id="INTEGER PRIMARY KEY" if sqlite else "BIGINT PRIMARY KEY",
        integer=dialect.integer,
        blob=dialect.blob,
        text=dialect.text,
        clustered=" WITHOUT ROWID" if sqlite else "",
        nulls_first="" if sqlite else " NULLS FIRST",  # as SQLite has it
        row="" if sqlite else ", id",  # every index has it in SQLite: rows are found without looking at the table
    )
    made = [statement.strip() for statement in tables.split(";\n")]
    if sqlite:
        # A table is its own primary key in SQLite: skipping rows would read all of them. This is as narrow as it gets.
        made += [
            f"CREATE INDEX {table}_by_id ON {table} (id)" for table in ("patients", "studies", "series", "instances")
        ]
    for table, columns in TEXT_INDEXES.items():
        made += text_index(dialect, table, columns)
    return made + _outbox_trigger(dialect)


def _outbox_trigger(dialect: Dialect) -> list[str]:
    """What copies changes into the outbox, while there is a webhook."""
    copy = (
        "INSERT INTO outbox (sequence, change_type, level, orthanc_id, date) "
        "VALUES (new.sequence, new.change_type, new.level, new.orthanc_id, new.date);"
    )
    asked = "EXISTS (SELECT 1 FROM webhooks)"
    if dialect.name == "sqlite":
        return [f"CREATE TRIGGER changes_outbox AFTER INSERT ON changes WHEN {asked} BEGIN {copy} END"]
    return [
        "CREATE FUNCTION changes_to_outbox() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF {asked} THEN {copy} END IF; RETURN NULL; END $$",
        "CREATE TRIGGER changes_outbox AFTER INSERT ON changes FOR EACH ROW EXECUTE FUNCTION changes_to_outbox()",
    ]


def text_index(dialect: Dialect, table: str, columns: tuple[str, ...]) -> list[str]:
    """What makes a trigram index over some columns of a table.

    With SQLite it is a full-text table `<table>_text` beside the table, kept by triggers; with PostgreSQL an index.
    """
    if dialect.name != "sqlite":
        # Without a list of what is still to be sorted in, which every search would read and some store would sort in.
        return [
            f"CREATE INDEX {table}_text_{column} ON {table} USING gin ({column} gin_trgm_ops) WITH (fastupdate = off)"
            for column in columns
        ]
    names = ", ".join(columns)
    old, new = (", ".join(f"{which}.{column}" for column in columns) for which in ("old", "new"))
    forget = f"INSERT INTO {table}_text ({table}_text, rowid, {names}) VALUES ('delete', old.id, {old});"
    learn = f"INSERT INTO {table}_text (rowid, {names}) VALUES (new.id, {new});"
    return [
        f"CREATE VIRTUAL TABLE {table}_text USING fts5 "
        f"({names}, content='{table}', content_rowid='id', tokenize='trigram case_sensitive 1', detail='full')",
        # Every store adds a little segment: merged by eights rather than fours, each is written less often.
        f"INSERT INTO {table}_text ({table}_text, rank) VALUES ('automerge', 8)",
        f"CREATE TRIGGER {table}_text_insert AFTER INSERT ON {table} BEGIN {learn} END",
        f"CREATE TRIGGER {table}_text_delete AFTER DELETE ON {table} BEGIN {forget} END",
        f"CREATE TRIGGER {table}_text_update AFTER UPDATE OF {names} ON {table} BEGIN {forget} {learn} END",
    ]
