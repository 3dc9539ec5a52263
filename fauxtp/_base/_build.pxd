# Of which build a compiled module is: `fauxtp/_base/implementation.py` compares that of all of them.

cdef extern from *:
    """
    #ifndef FAUXTP_BUILD
    #define FAUXTP_BUILD unknown
    #endif
    #define FAUXTP_TEXT_OF(text) #text
    #define FAUXTP_TEXT(macro) FAUXTP_TEXT_OF(macro)
    #define fauxtp_build() PyUnicode_FromString(FAUXTP_TEXT(FAUXTP_BUILD))
    """
    object fauxtp_build()
