CREATE TABLE signatures (
    id INTEGER PRIMARY KEY,
    signature TEXT NOT NULL UNIQUE
);;
CREATE TABLE patients (
    id INTEGER PRIMARY KEY,
    orthanc_id TEXT NOT NULL UNIQUE,
    tags TEXT NOT NULL,
    signature_row INTEGER NOT NULL,
    last_update TEXT NOT NULL,
    is_stable INTEGER NOT NULL DEFAULT 0,
    last_store INTEGER NOT NULL DEFAULT 0,
    is_protected INTEGER NOT NULL DEFAULT 0,
    recycling_order INTEGER NOT NULL,
    number_of_studies INTEGER NOT NULL DEFAULT 0,
    number_of_series INTEGER NOT NULL DEFAULT 0,
    number_of_instances INTEGER NOT NULL DEFAULT 0,
    disk_size INTEGER NOT NULL DEFAULT 0,
    uncompressed_size INTEGER NOT NULL DEFAULT 0,
    dicom_disk_size INTEGER NOT NULL DEFAULT 0,
    dicom_uncompressed_size INTEGER NOT NULL DEFAULT 0,
    patient_id TEXT,
    patient_name TEXT,
    patient_birth_date TEXT,
    patient_sex TEXT
);;
CREATE INDEX patients_by_patient_id ON patients (patient_id);;
CREATE INDEX patients_by_patient_name ON patients (patient_name);;
CREATE INDEX patients_by_patient_birth_date ON patients (patient_birth_date);;
CREATE INDEX patients_by_recycling_order ON patients (is_protected, recycling_order);;
CREATE INDEX patients_not_stable ON patients (id) WHERE is_stable = 0;;
CREATE TABLE studies (
    id INTEGER PRIMARY KEY,
    orthanc_id TEXT NOT NULL UNIQUE,
    patient_row INTEGER NOT NULL,
    tags TEXT NOT NULL,
    signature_row INTEGER NOT NULL,
    last_update TEXT NOT NULL,
    is_stable INTEGER NOT NULL DEFAULT 0,
    last_store INTEGER NOT NULL DEFAULT 0,
    number_of_series INTEGER NOT NULL DEFAULT 0,
    number_of_instances INTEGER NOT NULL DEFAULT 0,
    disk_size INTEGER NOT NULL DEFAULT 0,
    uncompressed_size INTEGER NOT NULL DEFAULT 0,
    dicom_disk_size INTEGER NOT NULL DEFAULT 0,
    dicom_uncompressed_size INTEGER NOT NULL DEFAULT 0,
    modalities_in_study TEXT NOT NULL DEFAULT '',
    sop_classes_in_study TEXT NOT NULL DEFAULT '',
    study_instance_uid TEXT,
    study_date TEXT,
    study_time TEXT,
    study_id TEXT,
    accession_number TEXT,
    study_description TEXT,
    referring_physician_name TEXT,
    institution_name TEXT
);;
CREATE INDEX studies_by_patient ON studies (patient_row, id, orthanc_id);;
CREATE INDEX studies_by_study_instance_uid ON studies (study_instance_uid);;
CREATE INDEX studies_by_study_date ON studies (study_date);;
CREATE INDEX studies_by_study_id ON studies (study_id);;
CREATE INDEX studies_by_accession_number ON studies (accession_number);;
CREATE INDEX studies_by_study_description ON studies (study_description);;
CREATE INDEX studies_by_referring_physician_name ON studies (referring_physician_name);;
CREATE INDEX studies_not_stable ON studies (id) WHERE is_stable = 0;;
CREATE TABLE series (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    orthanc_id TEXT NOT NULL UNIQUE,
    study_row INTEGER NOT NULL,
    tags TEXT NOT NULL,
    signature_row INTEGER NOT NULL,
    last_update TEXT NOT NULL,
    is_stable INTEGER NOT NULL DEFAULT 0,
    last_store INTEGER NOT NULL DEFAULT 0,
    remote_aet TEXT NOT NULL,
    expected_number_of_instances INTEGER,
    number_of_instances INTEGER NOT NULL DEFAULT 0,
    disk_size INTEGER NOT NULL DEFAULT 0,
    uncompressed_size INTEGER NOT NULL DEFAULT 0,
    dicom_disk_size INTEGER NOT NULL DEFAULT 0,
    dicom_uncompressed_size INTEGER NOT NULL DEFAULT 0,
    sop_classes TEXT NOT NULL DEFAULT '',
    series_instance_uid TEXT,
    modality TEXT,
    series_date TEXT,
    series_time TEXT,
    series_number TEXT,
    series_description TEXT,
    body_part_examined TEXT,
    station_name TEXT,
    manufacturer TEXT,
    protocol_name TEXT,
    performed_procedure_step_start_date TEXT,
    performed_procedure_step_start_time TEXT
);;
CREATE INDEX series_by_study ON series (study_row, id, orthanc_id);;
CREATE INDEX series_by_series_instance_uid ON series (series_instance_uid);;
CREATE INDEX series_by_modality ON series (modality);;
CREATE INDEX series_by_series_date ON series (series_date);;
CREATE INDEX series_by_series_description ON series (series_description);;
CREATE INDEX series_not_stable ON series (id) WHERE is_stable = 0;;
CREATE TABLE instances (
    id INTEGER PRIMARY KEY,
    orthanc_id TEXT NOT NULL UNIQUE,
    series_row INTEGER NOT NULL,
    tags TEXT NOT NULL,
    signature_row INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    index_in_series INTEGER,
    transfer_syntax_uid TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    instance_number TEXT
);;
CREATE INDEX instances_by_series ON instances (series_row, id, orthanc_id);;
CREATE INDEX instances_by_sop_instance_uid ON instances (sop_instance_uid);;
CREATE TABLE condemned (
    series_row INTEGER PRIMARY KEY
);;
CREATE TABLE tag_indexes (
    tag INTEGER PRIMARY KEY,
    is_ready INTEGER NOT NULL DEFAULT 0
);;
CREATE TABLE tag_values (
    tag INTEGER NOT NULL,
    value TEXT NOT NULL,
    level INTEGER NOT NULL,
    resource_row INTEGER NOT NULL,
    PRIMARY KEY (tag, value, level, resource_row)
) WITHOUT ROWID;;
CREATE INDEX tag_values_by_resource ON tag_values (resource_row, level, tag, value);;
CREATE TABLE tag_asks (
    tag INTEGER PRIMARY KEY,
    asks INTEGER NOT NULL
);;
CREATE TABLE headers (
    instance_row INTEGER PRIMARY KEY,
    header BLOB NOT NULL
);;
CREATE TABLE attachments (
    level INTEGER NOT NULL,
    resource_row INTEGER NOT NULL,
    content_type INTEGER NOT NULL,
    uuid TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    md5 TEXT NOT NULL,
    compressed_size INTEGER NOT NULL,
    compressed_md5 TEXT NOT NULL,
    compression INTEGER NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0,
    custom_data BLOB,
    PRIMARY KEY (level, resource_row, content_type)
) WITHOUT ROWID;;
CREATE TABLE tombstones (
    uuid TEXT PRIMARY KEY
) WITHOUT ROWID;;
CREATE TABLE metadata (
    level INTEGER NOT NULL,
    resource_row INTEGER NOT NULL,
    number INTEGER NOT NULL,
    value BLOB NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (level, resource_row, number)
) WITHOUT ROWID;;
CREATE INDEX metadata_by_number ON metadata (level, number, resource_row);;
CREATE TABLE labels (
    level INTEGER NOT NULL,
    resource_row INTEGER NOT NULL,
    label TEXT NOT NULL,
    PRIMARY KEY (level, resource_row, label)
) WITHOUT ROWID;;
CREATE INDEX labels_by_label ON labels (label, level, resource_row);;
CREATE TABLE changes (
    sequence INTEGER PRIMARY KEY,
    change_type INTEGER NOT NULL,
    level INTEGER NOT NULL,
    resource_row INTEGER NOT NULL,
    orthanc_id TEXT NOT NULL,
    date TEXT NOT NULL
);;
CREATE INDEX changes_by_resource ON changes (resource_row, level);;
CREATE TABLE exports (
    sequence INTEGER PRIMARY KEY,
    level INTEGER NOT NULL,
    orthanc_id TEXT NOT NULL,
    remote_modality TEXT NOT NULL,
    patient_id TEXT NOT NULL,
    study_instance_uid TEXT NOT NULL,
    series_instance_uid TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    date TEXT NOT NULL
);;
CREATE TABLE outbox (
    sequence INTEGER PRIMARY KEY,
    change_type INTEGER NOT NULL,
    level INTEGER NOT NULL,
    orthanc_id TEXT NOT NULL,
    date TEXT NOT NULL
);;
CREATE TABLE webhooks (
    name TEXT PRIMARY KEY,
    told INTEGER NOT NULL,
    failures INTEGER NOT NULL DEFAULT 0,
    owner TEXT NOT NULL DEFAULT '',
    lease INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;;
CREATE TABLE properties (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;;
CREATE TABLE statistics (
    id INTEGER PRIMARY KEY,
    patients INTEGER NOT NULL DEFAULT 0,
    studies INTEGER NOT NULL DEFAULT 0,
    series INTEGER NOT NULL DEFAULT 0,
    instances INTEGER NOT NULL DEFAULT 0,
    disk_size INTEGER NOT NULL DEFAULT 0,
    uncompressed_size INTEGER NOT NULL DEFAULT 0,
    last_change INTEGER NOT NULL DEFAULT 0,
    last_export INTEGER NOT NULL DEFAULT 0,
    indexed_tags TEXT NOT NULL DEFAULT ''
);;
INSERT INTO statistics (id) VALUES (1);;
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    user_data TEXT,
    state TEXT NOT NULL,
    wish TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    checkpoint TEXT,
    content TEXT NOT NULL,
    error_code INTEGER NOT NULL DEFAULT 0,
    error_message TEXT NOT NULL DEFAULT '',
    error_details TEXT NOT NULL DEFAULT '',
    error_payload TEXT,
    created_at TEXT NOT NULL,
    completed_at TEXT,
    ended INTEGER,
    runtime_ms INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    max_attempts INTEGER NOT NULL DEFAULT 1,
    retry_after_ms INTEGER NOT NULL DEFAULT 0,
    takeovers INTEGER NOT NULL DEFAULT 0,
    submitter TEXT NOT NULL,
    owner TEXT,
    fence INTEGER NOT NULL DEFAULT 0
);;
CREATE INDEX jobs_by_state ON jobs (state, priority DESC, id);;
CREATE INDEX jobs_by_ended ON jobs (ended);;
CREATE TABLE job_arguments (
    job_row INTEGER PRIMARY KEY,
    arguments TEXT NOT NULL
);;
CREATE TABLE job_outputs (
    job_row INTEGER NOT NULL,
    name TEXT NOT NULL,
    uuid TEXT NOT NULL UNIQUE,
    size INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    filename TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (job_row, name)
) WITHOUT ROWID;;
CREATE TABLE job_workers (
    worker TEXT PRIMARY KEY,
    place TEXT NOT NULL,
    beat INTEGER NOT NULL
) WITHOUT ROWID;;
CREATE TABLE modalities (
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT,
    PRIMARY KEY (scope, name)
) WITHOUT ROWID;;
CREATE TABLE queries (
    id INTEGER PRIMARY KEY,
    query_id TEXT NOT NULL UNIQUE,
    modality TEXT NOT NULL,
    level INTEGER NOT NULL,
    query TEXT NOT NULL,
    number_of_answers INTEGER NOT NULL
);;
CREATE TABLE query_answers (
    query_row INTEGER NOT NULL,
    number INTEGER NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (query_row, number)
) WITHOUT ROWID;;
CREATE TABLE commitments (
    id INTEGER PRIMARY KEY,
    transaction_uid TEXT NOT NULL UNIQUE,
    remote_aet TEXT NOT NULL,
    request TEXT NOT NULL,
    report TEXT
);;
CREATE INDEX patients_by_id ON patients (id);;
CREATE INDEX studies_by_id ON studies (id);;
CREATE INDEX series_by_id ON series (id);;
CREATE INDEX instances_by_id ON instances (id);;
CREATE VIRTUAL TABLE patients_text USING fts5 (patient_id, patient_name, content='patients', content_rowid='id', tokenize='trigram case_sensitive 1', detail='full');;
INSERT INTO patients_text (patients_text, rank) VALUES ('automerge', 8);;
CREATE TRIGGER patients_text_insert AFTER INSERT ON patients BEGIN INSERT INTO patients_text (rowid, patient_id, patient_name) VALUES (new.id, new.patient_id, new.patient_name); END;;
CREATE TRIGGER patients_text_delete AFTER DELETE ON patients BEGIN INSERT INTO patients_text (patients_text, rowid, patient_id, patient_name) VALUES ('delete', old.id, old.patient_id, old.patient_name); END;;
CREATE TRIGGER patients_text_update AFTER UPDATE OF patient_id, patient_name ON patients BEGIN INSERT INTO patients_text (patients_text, rowid, patient_id, patient_name) VALUES ('delete', old.id, old.patient_id, old.patient_name); INSERT INTO patients_text (rowid, patient_id, patient_name) VALUES (new.id, new.patient_id, new.patient_name); END;;
CREATE VIRTUAL TABLE studies_text USING fts5 (accession_number, study_description, referring_physician_name, content='studies', content_rowid='id', tokenize='trigram case_sensitive 1', detail='full');;
INSERT INTO studies_text (studies_text, rank) VALUES ('automerge', 8);;
CREATE TRIGGER studies_text_insert AFTER INSERT ON studies BEGIN INSERT INTO studies_text (rowid, accession_number, study_description, referring_physician_name) VALUES (new.id, new.accession_number, new.study_description, new.referring_physician_name); END;;
CREATE TRIGGER studies_text_delete AFTER DELETE ON studies BEGIN INSERT INTO studies_text (studies_text, rowid, accession_number, study_description, referring_physician_name) VALUES ('delete', old.id, old.accession_number, old.study_description, old.referring_physician_name); END;;
CREATE TRIGGER studies_text_update AFTER UPDATE OF accession_number, study_description, referring_physician_name ON studies BEGIN INSERT INTO studies_text (studies_text, rowid, accession_number, study_description, referring_physician_name) VALUES ('delete', old.id, old.accession_number, old.study_description, old.referring_physician_name); INSERT INTO studies_text (rowid, accession_number, study_description, referring_physician_name) VALUES (new.id, new.accession_number, new.study_description, new.referring_physician_name); END;;
CREATE VIRTUAL TABLE series_text USING fts5 (series_description, content='series', content_rowid='id', tokenize='trigram case_sensitive 1', detail='full');;
INSERT INTO series_text (series_text, rank) VALUES ('automerge', 8);;
CREATE TRIGGER series_text_insert AFTER INSERT ON series BEGIN INSERT INTO series_text (rowid, series_description) VALUES (new.id, new.series_description); END;;
CREATE TRIGGER series_text_delete AFTER DELETE ON series BEGIN INSERT INTO series_text (series_text, rowid, series_description) VALUES ('delete', old.id, old.series_description); END;;
CREATE TRIGGER series_text_update AFTER UPDATE OF series_description ON series BEGIN INSERT INTO series_text (series_text, rowid, series_description) VALUES ('delete', old.id, old.series_description); INSERT INTO series_text (rowid, series_description) VALUES (new.id, new.series_description); END;;
CREATE TRIGGER changes_outbox AFTER INSERT ON changes WHEN EXISTS (SELECT 1 FROM webhooks) BEGIN INSERT INTO outbox (sequence, change_type, level, orthanc_id, date) VALUES (new.sequence, new.change_type, new.level, new.orthanc_id, new.date); END
