"""The modules that stand for the four levels: their attributes, without those inside of sequences.

Patient (PS3.3 Table C.7-1), General Study (C.7-3), General Series (C.7-5a) and SOP Common (C.12-1); OtherPatientIDs,
which older editions have in the Patient Module, is kept.
"""

from __future__ import annotations

from collections.abc import Mapping

from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level

MODULES: Mapping[Level, frozenset[Tag]] = {
    Level.PATIENT: frozenset(
        {
            Tag(0x00081120),  # ReferencedPatientSequence
            Tag(0x00100010),  # PatientName
            Tag(0x00100020),  # PatientID
            Tag(0x00100021),  # IssuerOfPatientID
            Tag(0x00100022),  # TypeOfPatientID
            Tag(0x00100024),  # IssuerOfPatientIDQualifiersSequence
            Tag(0x00100026),  # SourcePatientGroupIdentificationSequence
            Tag(0x00100027),  # GroupOfPatientsIdentificationSequence
            Tag(0x00100030),  # PatientBirthDate
            Tag(0x00100032),  # PatientBirthTime
            Tag(0x00100033),  # PatientBirthDateInAlternativeCalendar
            Tag(0x00100034),  # PatientDeathDateInAlternativeCalendar
            Tag(0x00100035),  # PatientAlternativeCalendar
            Tag(0x00100040),  # PatientSex
            Tag(0x00100200),  # QualityControlSubject
            Tag(0x00100212),  # StrainDescription
            Tag(0x00100213),  # StrainNomenclature
            Tag(0x00100216),  # StrainStockSequence
            Tag(0x00100218),  # StrainAdditionalInformation
            Tag(0x00100219),  # StrainCodeSequence
            Tag(0x00100221),  # GeneticModificationsSequence
            Tag(0x00101000),  # OtherPatientIDs
            Tag(0x00101001),  # OtherPatientNames
            Tag(0x00101002),  # OtherPatientIDsSequence
            Tag(0x00101100),  # ReferencedPatientPhotoSequence
            Tag(0x00102160),  # EthnicGroup
            Tag(0x00102161),  # EthnicGroupCodeSequence
            Tag(0x00102201),  # PatientSpeciesDescription
            Tag(0x00102202),  # PatientSpeciesCodeSequence
            Tag(0x00102292),  # PatientBreedDescription
            Tag(0x00102293),  # PatientBreedCodeSequence
            Tag(0x00102294),  # BreedRegistrationSequence
            Tag(0x00102297),  # ResponsiblePerson
            Tag(0x00102298),  # ResponsiblePersonRole
            Tag(0x00102299),  # ResponsibleOrganization
            Tag(0x00104000),  # PatientComments
            Tag(0x00120062),  # PatientIdentityRemoved
            Tag(0x00120063),  # DeidentificationMethod
            Tag(0x00120064),  # DeidentificationMethodCodeSequence
        }
    ),
    Level.STUDY: frozenset(
        {
            Tag(0x00080020),  # StudyDate
            Tag(0x00080030),  # StudyTime
            Tag(0x00080050),  # AccessionNumber
            Tag(0x00080051),  # IssuerOfAccessionNumberSequence
            Tag(0x00080090),  # ReferringPhysicianName
            Tag(0x00080096),  # ReferringPhysicianIdentificationSequence
            Tag(0x0008009C),  # ConsultingPhysicianName
            Tag(0x0008009D),  # ConsultingPhysicianIdentificationSequence
            Tag(0x00081030),  # StudyDescription
            Tag(0x00081032),  # ProcedureCodeSequence
            Tag(0x00081048),  # PhysiciansOfRecord
            Tag(0x00081049),  # PhysiciansOfRecordIdentificationSequence
            Tag(0x00081060),  # NameOfPhysiciansReadingStudy
            Tag(0x00081062),  # PhysiciansReadingStudyIdentificationSequence
            Tag(0x00081110),  # ReferencedStudySequence
            Tag(0x0020000D),  # StudyInstanceUID
            Tag(0x00200010),  # StudyID
            Tag(0x00321033),  # RequestingService
            Tag(0x00321034),  # RequestingServiceCodeSequence
            Tag(0x00401012),  # ReasonForPerformedProcedureCodeSequence
        }
    ),
    Level.SERIES: frozenset(
        {
            Tag(0x00080021),  # SeriesDate
            Tag(0x00080031),  # SeriesTime
            Tag(0x00080060),  # Modality
            Tag(0x0008103E),  # SeriesDescription
            Tag(0x0008103F),  # SeriesDescriptionCodeSequence
            Tag(0x00081050),  # PerformingPhysicianName
            Tag(0x00081052),  # PerformingPhysicianIdentificationSequence
            Tag(0x00081070),  # OperatorsName
            Tag(0x00081072),  # OperatorIdentificationSequence
            Tag(0x00081111),  # ReferencedPerformedProcedureStepSequence
            Tag(0x00081250),  # RelatedSeriesSequence
            Tag(0x00102210),  # AnatomicalOrientationType
            Tag(0x00180015),  # BodyPartExamined
            Tag(0x00181030),  # ProtocolName
            Tag(0x00185100),  # PatientPosition
            Tag(0x0020000E),  # SeriesInstanceUID
            Tag(0x00200011),  # SeriesNumber
            Tag(0x00200060),  # Laterality
            Tag(0x00280108),  # SmallestPixelValueInSeries
            Tag(0x00280109),  # LargestPixelValueInSeries
            Tag(0x00400244),  # PerformedProcedureStepStartDate
            Tag(0x00400245),  # PerformedProcedureStepStartTime
            Tag(0x00400250),  # PerformedProcedureStepEndDate
            Tag(0x00400251),  # PerformedProcedureStepEndTime
            Tag(0x00400253),  # PerformedProcedureStepID
            Tag(0x00400254),  # PerformedProcedureStepDescription
            Tag(0x00400260),  # PerformedProtocolCodeSequence
            Tag(0x00400275),  # RequestAttributesSequence
            Tag(0x00400280),  # CommentsOnThePerformedProcedureStep
            Tag(0x300A0700),  # TreatmentSessionUID
        }
    ),
    Level.INSTANCE: frozenset(
        {
            Tag(0x00080005),  # SpecificCharacterSet
            Tag(0x00080012),  # InstanceCreationDate
            Tag(0x00080013),  # InstanceCreationTime
            Tag(0x00080014),  # InstanceCreatorUID
            Tag(0x00080015),  # InstanceCoercionDateTime
            Tag(0x00080016),  # SOPClassUID
            Tag(0x00080018),  # SOPInstanceUID
            Tag(0x0008001A),  # RelatedGeneralSOPClassUID
            Tag(0x0008001B),  # OriginalSpecializedSOPClassUID
            Tag(0x0008001C),  # SyntheticData
            Tag(0x00080053),  # QueryRetrieveView
            Tag(0x00080110),  # CodingSchemeIdentificationSequence
            Tag(0x00080123),  # ContextGroupIdentificationSequence
            Tag(0x00080124),  # MappingResourceIdentificationSequence
            Tag(0x00080201),  # TimezoneOffsetFromUTC
            Tag(0x00080300),  # PrivateDataElementCharacteristicsSequence
            Tag(0x00189004),  # ContentQualification
            Tag(0x0018990C),  # ReferencedDefinedProtocolSequence
            Tag(0x0018990D),  # ReferencedPerformedProtocolSequence
            Tag(0x0018A001),  # ContributingEquipmentSequence
            Tag(0x00200013),  # InstanceNumber
            Tag(0x00209172),  # ConversionSourceAttributesSequence
            Tag(0x00280303),  # LongitudinalTemporalInformationModified
            Tag(0x0040A390),  # HL7StructuredDocumentReferenceSequence
            Tag(0x01000410),  # SOPInstanceStatus
            Tag(0x01000420),  # SOPAuthorizationDateTime
            Tag(0x01000424),  # SOPAuthorizationComment
            Tag(0x01000426),  # AuthorizationEquipmentCertificationNumber
            Tag(0x04000500),  # EncryptedAttributesSequence
            Tag(0x04000561),  # OriginalAttributesSequence
            Tag(0x04000600),  # InstanceOriginStatus
            Tag(0x22000005),  # BarcodeValue
            Tag(0x4FFE0001),  # MACParametersSequence
            Tag(0xFFFAFFFA),  # DigitalSignaturesSequence
        }
    ),
}
